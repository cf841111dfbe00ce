"""Cinder 29's own code: its image service, and the RBD driver's clone check, clone and upload of a volume."""

import types
import unittest

from cinder import context
# In this order: the two modules import each other.
from cinder.image import image_utils  # noqa: F401
from cinder.image import glance
from cinder.objects import volume_type
from cinder.volume import configuration
from cinder.volume import driver as volume_driver
from cinder.volume import volume_utils
from cinder.volume.drivers import rbd as rbd_driver
from glanceclient import exc
from os_brick.initiator import linuxrbd
from oslo_config import cfg

import service

CONF = cfg.CONF


def setUpModule():
    CONF([], project="cinder", default_config_files=[])
    CONF.set_override("glance_api_servers", [service.URL])
    CONF.set_override("glance_num_retries", 0)


class Cinder(unittest.TestCase):
    def setUp(self):
        self.context = context.RequestContext(
            "user", "project", is_admin=True, auth_token="none", service_catalog=[])
        self.images = glance.GlanceImageService()
        self.cluster = service.Cluster()
        settings = configuration.Configuration(volume_driver.volume_opts, config_group="rbd1")
        settings.append_config_values(rbd_driver.RBD_OPTS)
        for name, value in {"rbd_pool": "volumes", "rbd_user": "cinder", "rbd_ceph_conf": service.CONF}.items():
            CONF.set_override(name, value, "rbd1")
        self.driver = rbd_driver.RBDDriver(configuration=settings)
        self.driver.do_setup(self.context)

    def image(self, **properties):
        meta = {"name": "cinder", "disk_format": "raw", "container_format": "bare", **properties}
        image = self.images.create(self.context, meta)
        self.addCleanup(self.gone, image["id"])
        return image

    def gone(self, image_id):
        try:
            service.glance().images.delete(image_id)
        except exc.HTTPNotFound:
            pass
        self.cluster.remove("images", image_id)

    def volume(self, **extra_specs):
        """What the driver looks at in a volume of its database."""
        name = service.new_name("volume")
        self.addCleanup(self.cluster.remove, "volumes", name)
        kind = volume_type.VolumeType(extra_specs=extra_specs, qos_specs_id=None)
        return types.SimpleNamespace(
            id=name, name=name, size=1, encryption_key_id=None, volume_type=kind, volume_type_id=None,
            glance_metadata=None, obj_context=self.context)

    def upload(self, content, volume, size=None):
        """A raw volume becomes an image: Cinder reads it through os-brick and sends 1 MiB chunks without a size."""
        image = self.image()
        self.cluster.create("volumes", volume.name, content, size)
        client = linuxrbd.RBDClient("cinder", "volumes", conffile=service.CONF, rbd_cluster_name="ceph")
        self.addCleanup(client.disconnect)
        opened = linuxrbd.RBDVolume(client, volume.name)
        metadata = linuxrbd.RBDImageMetadata(opened, "volumes", "cinder", service.CONF)
        handle = linuxrbd.RBDVolumeIOWrapper(metadata)
        self.addCleanup(handle.close)
        volume_utils.upload_volume(self.context, self.images, image, None, volume, volume_fd=handle)
        return image["id"]

    def test_a_volume_becomes_an_image(self):
        content = service.data(20 * service.MIB)
        image_id = self.upload(content, self.volume())
        image = self.images.show(self.context, image_id)
        self.assertEqual((image["status"], image["size"]), ("active", len(content)))
        self.assertEqual(service.export("images", image_id, "snap"), content)

    def test_a_volume_of_holes_becomes_an_image(self):
        head = service.data(3 * service.MIB)
        image_id = self.upload(head, self.volume(), size=64 * service.MIB)
        content = service.export("images", image_id, "snap")
        self.assertEqual(content[: len(head)], head)
        self.assertEqual(content[len(head):], bytes(61 * service.MIB))

    def test_the_store_of_the_volume_type_is_named(self):
        volume = self.volume(**{"image_service:store_id": "rbd1"})
        image_id = self.upload(service.data(service.MIB), volume)
        self.assertEqual(service.glance().images.get(image_id).stores, "rbd1")

    def test_a_volume_is_cloned(self):
        content = service.data(10 * service.MIB)
        image_id = self.upload(content, self.volume())
        meta = self.images.show(self.context, image_id)
        location = self.images.get_location(self.context, image_id)
        self.assertTrue(self.driver._is_cloneable(location[1][0]["url"], meta))
        volume = self.volume()
        update, cloned = self.driver.clone_image(self.context, volume, location, meta, self.images)
        self.assertTrue(cloned)
        self.assertEqual(self.cluster.content("volumes", volume.name)[: len(content)], content)
        with self.cluster.image("volumes", volume.name) as image:
            self.assertEqual(image.size(), 1024 * service.MIB)

    def test_what_is_not_raw_is_not_cloned(self):
        image_id = self.upload(service.data(service.MIB), self.volume())
        meta = {**self.images.show(self.context, image_id), "disk_format": "qcow2"}
        url = self.images.get_location(self.context, image_id)[1][0]["url"]
        self.assertFalse(self.driver._is_cloneable(url, meta))

    def test_stores_tell_their_pool_and_cluster(self):
        stores = service.glance().images.get_stores_info_detail()["stores"]
        store = next(store for store in stores if store["id"] == "rbd1")
        self.assertEqual((store["type"], store["default"]), ("rbd", "true"))
        self.assertEqual(store["properties"]["pool"], "images")
        self.assertEqual(store["properties"]["fsid"], self.cluster.fsid)

    def registered(self, metadata):
        """A volume that Cinder cloned into Glance's pool becomes an image without moving a byte."""
        image_id = self.image()["id"]
        content = service.data(6 * service.MIB)
        self.cluster.create("images", image_id, content)
        url = self.cluster.register("images", image_id)
        self.images.add_location(self.context, image_id, url, metadata)
        image = service.until_active(image_id)
        self.assertEqual(image.size, len(content))
        self.assertEqual(b"".join(service.glance().images.data(image_id)), content)
        self.assertEqual(self.images.get_location(self.context, image_id)[1][0]["url"], url)
        self.images.delete(self.context, image_id)
        self.assertNotIn(image_id, self.cluster.names("images"))

    def test_a_location_is_registered(self):
        self.registered({})

    def test_a_location_is_registered_with_its_store(self):
        self.registered({"store": "rbd1"})


if __name__ == "__main__":
    unittest.main()
