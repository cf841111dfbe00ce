"""Ironic 39's own image service code, as its conductor fetches what a machine boots from."""

import tempfile
import unittest

import glanceclient
from ironic.common import context
from ironic.common import exception
from ironic.common import image_service
from ironic.conf import CONF

import service


def setUpModule():
    CONF([], project="ironic", default_config_files=[])
    CONF.set_override("auth_type", "none", "glance")
    CONF.set_override("endpoint_override", service.URL, "glance")
    CONF.set_override("num_retries", 0, "glance")


class Images(unittest.TestCase):
    def setUp(self):
        self.glance = glanceclient.Client("2", service.URL, token="none")

    def image(self, content):
        image = self.glance.images.create(disk_format="raw", container_format="bare")
        self.addCleanup(self.glance.images.delete, image.id)
        with open(service.file_of(content), "rb") as file:
            self.glance.images.upload(image.id, file)
        return image.id

    def ironic(self, image_id):
        """A service as a deployment takes one, for an image without a scheme."""
        return image_service.get_image_service(image_id, context=context.RequestContext(roles=["admin"]))

    def fetched(self, image_id, **expected):
        images = self.ironic(image_id)
        with tempfile.NamedTemporaryFile() as file:
            images.download(image_id, file, **expected)
            file.flush()
            with open(file.name, "rb") as written:
                return images, written.read()

    def test_an_image_is_fetched_and_its_checksum_holds(self):
        content = service.data(9 * service.MIB + 7)
        image_id = self.image(content)
        shown = self.ironic(image_id).show(image_id)
        self.assertEqual((shown["size"], shown["checksum"]), (len(content), service.md5(content)))
        for _ in range(2):
            self.assertEqual(self.fetched(image_id)[1], content)
        images, got = self.fetched(image_id, checksum=service.sha512(content), checksum_algo="sha512")
        self.assertEqual(got, content)
        self.assertEqual(images._transfer_verified_checksum, "sha512:" + service.sha512(content))

    def test_what_is_not_active_is_unacceptable(self):
        image_id = self.image(service.data(service.MIB))
        self.fetched(image_id)
        self.glance.images.deactivate(image_id)
        with self.assertRaises(exception.ImageUnacceptable):
            self.ironic(image_id).show(image_id)

    def test_what_is_not_there_is_not_found(self):
        image_id = "aaaaaaaa-0000-4000-8000-000000000000"
        with self.assertRaises(exception.ImageNotFound):
            self.ironic(image_id).show(image_id)


if __name__ == "__main__":
    unittest.main()
