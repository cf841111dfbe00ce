"""openstacksdk, which is also what the `openstack` command line stands on."""

import io
import unittest

import openstack
from openstack import exceptions

import service

RAW = {"disk_format": "raw", "container_format": "bare"}


class Images(unittest.TestCase):
    def setUp(self):
        cloud = openstack.connection.Connection(
            auth_type="none", image_endpoint_override=service.URL, image_api_version="2"
        )
        self.image = cloud.image

    def create(self, **properties):
        image = self.image.create_image(**{"name": self.id(), **RAW, **properties})
        self.addCleanup(self.image.delete_image, image.id, ignore_missing=True)
        return image

    def test_create_from_a_file(self):
        content = service.data(4 * service.MIB + 1)
        image = self.create(filename=service.file_of(content), validate_checksum=True, wait=True)
        image = self.image.get_image(image.id)
        self.assertEqual(image.status, "active")
        self.assertEqual(image.checksum, service.md5(content))
        self.assertEqual(image.hash_value, service.sha512(content))
        output = io.BytesIO()
        # The SDK compares the digest of what it wrote.
        self.image.download_image(image, output=output, chunk_size=65536)
        self.assertEqual(output.getvalue(), content)

    def test_stream_a_download(self):
        content = service.data(2 * service.MIB)
        image = self.create(filename=service.file_of(content))
        answer = self.image.download_image(image.id, stream=True)
        self.assertEqual(b"".join(answer.iter_content(100_000)), content)

    def test_create_from_data(self):
        image = self.create(data=b"a few bytes")
        self.assertEqual(self.image.get_image(image.id).size, 11)

    def test_no_bytes(self):
        image = self.create(filename=service.file_of(b""))
        image = self.image.get_image(image.id)
        self.assertEqual((image.status, image.size), ("active", 0))

    def test_find_by_name_and_list_with_filters(self):
        image = self.create(name="sdk-find", tags=["sdk"], visibility="private")
        self.assertEqual(self.image.find_image("sdk-find").id, image.id)
        self.assertEqual(self.image.find_image(image.id).id, image.id)
        self.assertIsNone(self.image.find_image("sdk-nobody"))
        for query in ({"name": "sdk-find"}, {"tag": "sdk"}, {"visibility": "private", "status": "queued"}):
            found = [found.id for found in self.image.images(**query)]
            self.assertEqual(found, [image.id], query)

    def test_pages(self):
        ids = {self.create(name="sdk-page-%d" % number, tags=["paged"]).id for number in range(5)}
        self.assertEqual({image.id for image in self.image.images(tag="paged", limit=2)}, ids)

    def test_update(self):
        image = self.create(colour="red")
        image = self.image.update_image(image.id, name="sdk-renamed", min_ram=7, colour="blue")
        self.assertEqual((image.name, image.min_ram, image.properties["colour"]), ("sdk-renamed", 7, "blue"))

    def test_tags(self):
        image = self.create()
        self.image.add_tag(image, "one")
        self.image.add_tag(image, "two")
        self.image.remove_tag(image, "one")
        self.assertEqual(self.image.get_image(image.id).tags, ["two"])

    def test_members_share_and_accept(self):
        image = self.create(visibility="shared")
        self.image.add_member(image, member_id="project-c")
        self.image.update_member("project-c", image, status="accepted")
        self.assertEqual(self.image.get_member("project-c", image).status, "accepted")
        self.image.remove_member("project-c", image=image)
        self.assertEqual(list(self.image.members(image)), [])

    def test_deactivate_and_reactivate(self):
        image = self.create(data=b"bytes")
        self.image.deactivate_image(image)
        self.assertEqual(self.image.get_image(image.id).status, "deactivated")
        self.image.reactivate_image(image)
        self.assertEqual(self.image.get_image(image.id).status, "active")

    def test_errors_are_read(self):
        with self.assertRaises(exceptions.NotFoundException) as caught:
            self.image.get_image("00000000-0000-4000-8000-000000000000")
        self.assertIn("No image found with ID", str(caught.exception))

    def test_schemas(self):
        self.assertIn("disk_format", self.image.get_image_schema().properties)
        self.assertIn("member_id", self.image.get_member_schema().properties)

    def test_delete(self):
        image = self.create(data=b"bytes")
        self.image.delete_image(image)
        with self.assertRaises(exceptions.NotFoundException):
            self.image.get_image(image.id)


if __name__ == "__main__":
    unittest.main()
