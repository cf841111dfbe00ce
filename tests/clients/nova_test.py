"""Nova 34's own image code, as a hypervisor uses it."""

import io
import tempfile
import unittest

import glanceclient
import nova.conf
from nova import context
from nova import exception
from nova.image import glance

import service

CONF = nova.conf.CONF


def setUpModule():
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("api_servers", [service.URL], "glance")
    CONF.set_override("num_retries", 0, "glance")


class Images(unittest.TestCase):
    def setUp(self):
        # No administrator, who may have what is deactivated.
        self.context = context.RequestContext("user", "project", auth_token="none", service_catalog=[])
        self.images = glance.GlanceImageServiceV2()

    def image(self, content):
        """An image with these bytes, sent as Nova sends a snapshot."""
        meta = {"name": "nova", "disk_format": "raw", "container_format": "bare"}
        image = self.images.create(self.context, meta, data=io.BytesIO(content))
        self.addCleanup(self.gone, image["id"])
        return image["id"]

    def gone(self, image_id):
        try:
            self.images.delete(self.context, image_id)
        except exception.ImageNotFound:
            pass

    def fetched(self, image_id):
        """The bytes, written to a file as for a server's disk."""
        with tempfile.NamedTemporaryFile() as file:
            self.images.download(self.context, image_id, dst_path=file.name)
            return file.read()

    def test_an_image_is_fetched_again_and_again(self):
        content = service.data(9 * service.MIB + 7)
        image_id = self.image(content)
        for _ in range(3):
            self.assertEqual(self.fetched(image_id), content)
        self.assertEqual(b"".join(self.images.download(self.context, image_id)), content)
        self.assertEqual(self.images.show(self.context, image_id)["size"], len(content))

    def test_what_is_deactivated_and_active_again(self):
        content = service.data(5 * service.MIB)
        image_id = self.image(content)
        self.assertEqual(self.fetched(image_id), content)
        glance_client = glanceclient.Client("2", service.URL, token="none")
        glance_client.images.deactivate(image_id)
        self.assertEqual(self.images.show(self.context, image_id)["status"], "deactivated")
        glance_client.images.reactivate(image_id)
        self.assertEqual(self.fetched(image_id), content)

    def test_what_is_deleted_is_gone(self):
        image_id = self.image(service.data(service.MIB))
        self.fetched(image_id)
        self.images.delete(self.context, image_id)
        with self.assertRaises(exception.ImageNotFound):
            self.fetched(image_id)


if __name__ == "__main__":
    unittest.main()
