"""An image that was encrypted here, fetched and inspected by Nova 34's own image code."""

import os
import tempfile
import unittest

import glanceclient
import nova.conf
from nova import context
from nova.virt import images

import service

CONF = nova.conf.CONF


def setUpModule():
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("api_servers", [service.URL], "glance")
    # Without the key nobody makes it raw.
    CONF.set_override("force_raw_images", False)


class Encrypted(unittest.TestCase):
    def test_the_container_is_fetched_verified_and_known_for_what_it_is(self):
        content = service.data(3 * service.MIB + 7)
        image = service.sealed(content)
        nova_context = context.RequestContext("user", "project", auth_token="none", service_catalog=[])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "base")
            images.fetch_to_raw(nova_context, image["id"], path)
            with open(path, "rb") as file:
                container = file.read()
        self.assertEqual(len(container), image["size"])
        self.assertEqual(service.md5(container), image["checksum"])
        self.assertEqual(service.sha512(container), image["os_hash_value"])
        self.assertEqual(service.opened(container)[: len(content)], content)
        # The client verifies what it reads with the image's own digest.
        client = glanceclient.Client("2", service.URL, token="none")
        self.assertEqual(b"".join(client.images.data(image["id"])), container)


if __name__ == "__main__":
    unittest.main()
