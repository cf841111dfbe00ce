"""Encrypted images in the hands of Cinder 29's own image code: those of its volumes, and those of ours."""

import io
import os
import tempfile
import unittest

from cinder import context
from cinder.image import image_utils
from cinder.image import glance
from oslo_config import cfg

import service

CONF = cfg.CONF


def setUpModule():
    CONF([], project="cinder", default_config_files=[])
    CONF.set_override("glance_api_servers", [service.URL])
    CONF.set_override("glance_num_retries", 0)


class Encrypted(unittest.TestCase):
    def setUp(self):
        self.context = context.RequestContext("user", "project", is_admin=True, auth_token="none", service_catalog=[])
        self.images = glance.GlanceImageService()

    def fetched(self, image_id):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "image")
            image_utils.fetch(self.context, self.images, image_id, path, None, None)
            with open(path, "rb") as file:
                return file.read()

    def test_the_image_of_an_encrypted_volume_takes_its_key_along(self):
        content = service.data(service.MIB)
        volume = self.fetched(service.sealed(content)["id"])
        key = service.new_key()
        image = self.images.create(self.context, {
            "name": "cinder", "disk_format": "raw", "container_format": "bare",
            "properties": {
                "cinder_encryption_key_id": key,
                "cinder_encryption_key_deletion_policy": "on_image_deletion",
            }})
        service.bind(key, image["id"])
        self.images.update(self.context, image["id"], {}, io.BytesIO(volume))
        shown = self.images.show(self.context, image["id"])
        self.assertEqual((shown["status"], shown["disk_format"]), ("active", "raw"))
        self.assertEqual(shown["cinder_encryption_key_id"], key)
        self.assertEqual(self.fetched(image["id"]), volume)
        self.assertEqual(service.plain(image["id"])[: len(content)], content)
        self.images.delete(self.context, image["id"])
        self.assertNotIn(key, service.keys())

    def test_an_image_of_ours_is_a_container_whose_volume_can_be_sized(self):
        content = service.data(2 * service.MIB + 5)
        image = service.sealed(content)
        shown = self.images.show(self.context, image["id"])
        self.assertEqual(shown["disk_format"], "luks")
        self.assertEqual(int(shown["properties"]["os_decrypt_size"]), len(content))
        container = self.fetched(image["id"])
        self.assertEqual(len(container), shown["size"])
        self.assertEqual(service.opened(container)[: len(content)], content)


if __name__ == "__main__":
    unittest.main()
