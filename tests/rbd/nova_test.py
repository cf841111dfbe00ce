"""Nova 34's own code: images through nova.image.glance, clones and direct snapshots through its libvirt RBD backend."""

import io
import tempfile
import unittest

import nova.conf
from nova import context
from nova import exception
from nova import objects
from nova.image import glance
from nova.virt.libvirt import imagebackend

import service

CONF = nova.conf.CONF


def setUpModule():
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("api_servers", [service.URL], "glance")
    CONF.set_override("num_retries", 0, "glance")
    CONF.set_override("images_rbd_pool", "volumes", "libvirt")
    CONF.set_override("images_rbd_ceph_conf", service.CONF, "libvirt")
    CONF.set_override("rbd_user", "nova", "libvirt")
    CONF.set_override("rbd_user", "nova", "glance")
    CONF.set_override("rbd_pool", "images", "glance")
    CONF.set_override("rbd_ceph_conf", service.CONF, "glance")
    objects.register_all()


class Nova(unittest.TestCase):
    def setUp(self):
        self.context = context.RequestContext("user", "project", is_admin=True, auth_token="none", service_catalog=[])
        self.images = glance.GlanceImageServiceV2()
        self.cluster = service.Cluster()

    def image(self, content=None, **properties):
        """An image that Nova made, with these bytes as its upload of a snapshot sends them."""
        meta = {"name": "nova", "disk_format": "raw", "container_format": "bare", **properties}
        image = self.images.create(self.context, meta, data=io.BytesIO(content) if content is not None else None)
        self.addCleanup(self.gone, image["id"])
        return image["id"]

    def gone(self, image_id):
        try:
            self.images.delete(self.context, image_id)
        except exception.ImageNotFound:
            pass
        self.cluster.remove("images", image_id)

    def disk(self):
        """A server's disk, as Nova's backend names it."""
        name = service.new_name("disk")
        self.addCleanup(self.cluster.remove, "volumes", name)
        return imagebackend.Rbd(path="volumes/" + name), name

    def test_an_upload_is_fetched(self):
        content = service.data(20 * service.MIB + 7)
        image_id = self.image(content)
        with tempfile.NamedTemporaryFile() as file:
            self.images.download(self.context, image_id, dst_path=file.name)
            self.assertEqual(file.read(), content)
        self.assertEqual(self.images.show(self.context, image_id)["size"], len(content))

    def test_a_direct_fetch_reads_the_pool(self):
        content = service.data(9 * service.MIB)
        image_id = self.image(content)
        CONF.set_override("enable_rbd_download", True, "glance")
        self.addCleanup(CONF.clear_override, "enable_rbd_download", "glance")
        images = glance.GlanceImageServiceV2()
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/image"
            self.assertTrue(images._try_special_handlers(self.context, image_id, path, None))
            with open(path, "rb") as file:
                self.assertEqual(file.read(), content)

    def test_a_disk_is_cloned(self):
        content = service.data(11 * service.MIB)
        image_id = self.image(content)
        disk, name = self.disk()
        disk.clone(self.context, image_id)
        self.assertEqual(disk.driver.parent_info(name), ("images", image_id, "snap"))
        self.assertEqual(self.cluster.content("volumes", name), content)

    def test_an_image_of_another_store_is_copied_and_cloned(self):
        content = service.data(9 * service.MIB)
        image_id = self.image()
        service.glance().images.upload(image_id, io.BytesIO(content), backend="files")
        self.assertEqual(service.glance().images.get(image_id)["stores"], "files")
        for option, value in (("store_name", "rbd1"), ("copy_poll_interval", 1), ("copy_timeout", 60)):
            CONF.set_override("images_rbd_glance_" + option, value, "libvirt")
            self.addCleanup(CONF.clear_override, "images_rbd_glance_" + option, "libvirt")
        disk, name = self.disk()
        disk.clone(self.context, image_id)
        self.assertEqual(disk.driver.parent_info(name), ("images", image_id, "snap"))
        self.assertEqual(self.cluster.content("volumes", name), content)
        self.cluster.remove("volumes", name)

    def test_an_image_with_clones_stays(self):
        image_id = self.image(service.data(service.MIB))
        disk, name = self.disk()
        disk.clone(self.context, image_id)
        with self.assertRaises(exception.ImageDeleteConflict):
            self.images.delete(self.context, image_id)
        with self.cluster.image("images", image_id) as image:
            self.assertTrue(image.is_protected_snap("snap"))
        self.assertEqual(self.images.show(self.context, image_id)["status"], "active")
        self.cluster.remove("volumes", name)
        self.images.delete(self.context, image_id)
        self.assertNotIn(image_id, self.cluster.names("images"))

    def test_what_is_not_raw_is_not_cloned(self):
        image_id = self.image(service.data(service.MIB))
        disk, name = self.disk()
        image = self.images.show(self.context, image_id, include_locations=True)
        self.assertTrue(disk.driver.is_cloneable(image["locations"][0], image))
        self.assertFalse(disk.driver.is_cloneable(image["locations"][0], {**image, "disk_format": "qcow2"}))

    def direct_snapshot(self):
        """The steps of libvirt's direct snapshot: the disk is cloned into Glance's pool, flattened, and registered."""
        base = self.image(service.data(2 * service.MIB))
        disk, name = self.disk()
        disk.clone(self.context, base)
        content = service.data(service.MIB)
        with self.cluster.image("volumes", name) as image:
            image.write(content, 0)
        snapshot = self.image()
        url = disk.direct_snapshot(self.context, service.new_name("snap"), "raw", snapshot, base)
        self.assertEqual(url, self.cluster.location("images", snapshot))
        return snapshot, url, content

    def test_a_direct_snapshot_registers_its_location(self):
        snapshot, url, content = self.direct_snapshot()
        meta = {"name": "snapshot", "disk_format": "raw", "container_format": "bare", "location": url}
        self.images.update(self.context, snapshot, meta, purge_props=False)
        image = service.until_active(snapshot)
        self.assertEqual((image.size, image.name), (2 * service.MIB, "snapshot"))
        got = b"".join(self.images.download(self.context, snapshot))
        self.assertEqual(got[: len(content)], content)
        self.assertEqual(len(got), image.size)
        shown = self.images.show(self.context, snapshot, include_locations=True)
        self.assertIn(url, [location["url"] for location in shown["locations"]])
        self.images.delete(self.context, snapshot)
        self.assertNotIn(snapshot, self.cluster.names("images"))

    def test_a_direct_snapshot_registers_its_location_the_old_way(self):
        snapshot, url, content = self.direct_snapshot()
        # What Nova does where the newer call is not implemented.
        self.images._client.call(self.context, 2, "add_location", args=(snapshot, url, {}))
        image = service.until_active(snapshot)
        self.assertEqual((image.size, image.locations[0]["url"]), (2 * service.MIB, url))
        got = b"".join(self.images.download(self.context, snapshot))
        self.assertEqual(got[: len(content)], content)

    def test_a_volume_backed_snapshot_has_no_bytes(self):
        image_id = self.images.create(self.context, {"name": "volume-backed", "size": 0, "properties": {"bdm": "[]"}})["id"]
        self.addCleanup(self.gone, image_id)
        image = self.images.show(self.context, image_id)
        self.assertEqual((image["status"], image["size"]), ("active", 0))


if __name__ == "__main__":
    unittest.main()
