"""python-glanceclient as a library, as Nova and Cinder use it."""

import io
import unittest

import glanceclient
from glanceclient import exc
from glanceclient.common import progressbar

import service

RAW = {"disk_format": "raw", "container_format": "bare"}


class Images(unittest.TestCase):
    def setUp(self):
        self.glance = glanceclient.Client("2", service.URL, token="none")

    def create(self, **properties):
        image = self.glance.images.create(**{**RAW, **properties})
        self.addCleanup(self.delete, image.id)
        return image

    def delete(self, image_id):
        try:
            self.glance.images.update(image_id, protected=False)
            self.glance.images.delete(image_id)
        except exc.HTTPNotFound:
            pass

    def upload(self, image, content):
        self.glance.images.upload(image.id, io.BytesIO(content))
        return self.glance.images.get(image.id)

    def test_create_upload_download(self):
        content = service.data(5 * service.MIB + 123)
        image = self.upload(self.create(name="round trip"), content)
        self.assertEqual(image.status, "active")
        self.assertEqual(image.size, len(content))
        self.assertEqual(image.checksum, service.md5(content))
        self.assertEqual(image.os_hash_algo, "sha512")
        self.assertEqual(image.os_hash_value, service.sha512(content))
        # The client verifies the digest while it reads.
        self.assertEqual(b"".join(self.glance.images.data(image.id)), content)

    def test_upload_in_chunks_of_one_mebibyte(self):
        content = service.data(3 * service.MIB)

        class Chunks(io.BytesIO):
            def read(self, size=-1):
                return super().read(min(size, service.MIB) if size > 0 else service.MIB)

        image = self.create(name="chunks")
        self.glance.images.upload(image.id, Chunks(content))
        self.assertEqual(self.glance.images.get(image.id).checksum, service.md5(content))

    def test_upload_of_a_pipe_without_a_size(self):
        content = service.data(2 * service.MIB + 1)

        class Pipe(io.RawIOBase):
            def __init__(self):
                self.rest = io.BytesIO(content)

            def readable(self):
                return True

            def readinto(self, buffer):
                return self.rest.readinto(buffer)

        image = self.create(name="pipe")
        self.glance.images.upload(image.id, io.BufferedReader(Pipe()))
        self.assertEqual(self.glance.images.get(image.id).size, len(content))

    def test_an_image_of_no_bytes(self):
        image = self.upload(self.create(name="empty"), b"")
        self.assertEqual((image.status, image.size), ("active", 0))
        self.assertEqual(image.checksum, service.md5(b""))
        self.assertEqual(b"".join(self.glance.images.data(image.id) or []), b"")

    def test_progress_sees_every_byte(self):
        content = service.data(service.MIB)
        image = self.create(name="progress")
        wrapped = progressbar.VerboseFileWrapper(io.BytesIO(content), len(content))
        self.glance.images.upload(image.id, wrapped)
        got = progressbar.VerboseIteratorWrapper(self.glance.images.data(image.id), len(content))
        self.assertEqual(b"".join(got), content)

    def test_no_data_yet(self):
        image = self.create(name="queued")
        self.assertIsNone(self.glance.images.data(image.id).wrapped)

    def test_second_upload_is_a_conflict(self):
        image = self.upload(self.create(), b"once")
        with self.assertRaises(exc.HTTPConflict):
            self.glance.images.upload(image.id, io.BytesIO(b"twice"))

    def test_second_upload_of_many_bytes_is_a_conflict_too(self):
        image = self.upload(self.create(), b"once")
        with self.assertRaises(exc.HTTPConflict):
            self.glance.images.upload(image.id, io.BytesIO(service.data(5 * service.MIB)))

    def test_wrong_format_is_refused_and_a_retry_works(self):
        image = self.create(disk_format="qcow2")
        with self.assertRaisesRegex(exc.HTTPException, "415"):
            self.glance.images.upload(image.id, io.BytesIO(service.data(service.MIB)))
        self.assertEqual(self.glance.images.get(image.id).status, "queued")
        self.glance.images.update(image.id, disk_format="raw")
        self.assertEqual(self.upload(image, b"raw after all").status, "active")

    def test_update_adds_replaces_and_removes(self):
        image = self.create(name="before", colour="red", shape="round")
        self.glance.images.update(image.id, remove_props=["colour"], name="after", shape="square", size_class="s")
        image = self.glance.images.get(image.id)
        self.assertEqual((image.name, image.shape, image.size_class), ("after", "square", "s"))
        self.assertNotIn("colour", image)

    def test_list_filters_pages_and_sorts(self):
        names = ["page-%d" % number for number in range(7)]
        for name in names:
            self.create(name=name, marker_property="paged", tags=["paged"])
        paged = {"filters": {"marker_property": "paged", "tag": ["paged"]}, "page_size": 2}
        found = [image.name for image in self.glance.images.list(sort="name:asc", **paged)]
        self.assertEqual(found, names)
        found = [image.name for image in self.glance.images.list(sort_key=["name"], sort_dir=["desc"], limit=3, **paged)]
        self.assertEqual(found, names[:3:-1])
        found = [image.name for image in self.glance.images.list(filters={"name": "in:page-1,page-5"}, sort="name:asc")]
        self.assertEqual(found, ["page-1", "page-5"])
        self.assertEqual(list(self.glance.images.list(filters={"name": "eq:page-9"})), [])

    def test_tags(self):
        image = self.create(tags=["one"])
        self.glance.image_tags.update(image.id, "two words")
        self.glance.image_tags.delete(image.id, "one")
        self.assertEqual(self.glance.images.get(image.id).tags, ["two words"])

    def test_members_accept(self):
        image = self.create(visibility="shared")
        self.assertEqual(self.glance.image_members.create(image.id, "project-b").status, "pending")
        self.glance.image_members.update(image.id, "project-b", "accepted")
        members = list(self.glance.image_members.list(image.id))
        self.assertEqual([(m.member_id, m.status) for m in members], [("project-b", "accepted")])
        with self.assertRaises(exc.HTTPConflict):
            self.glance.image_members.create(image.id, "project-b")
        self.glance.image_members.delete(image.id, "project-b")
        self.assertEqual(list(self.glance.image_members.list(image.id)), [])

    def test_deactivate_and_reactivate(self):
        image = self.upload(self.create(), b"bytes")
        self.glance.images.deactivate(image.id)
        self.assertEqual(self.glance.images.get(image.id).status, "deactivated")
        self.glance.images.reactivate(image.id)
        self.assertEqual(self.glance.images.get(image.id).status, "active")

    def test_protected_images_stay(self):
        image = self.create(protected=True)
        with self.assertRaisesRegex(exc.HTTPForbidden, "is protected and cannot be deleted"):
            self.glance.images.delete(image.id)

    def test_deleted_images_are_gone(self):
        image = self.upload(self.create(), b"bytes")
        self.glance.images.delete(image.id)
        with self.assertRaises(exc.HTTPNotFound):
            self.glance.images.get(image.id)
        with self.assertRaises(exc.HTTPNotFound):
            self.glance.images.data(image.id)

    def test_schemas_split_base_from_custom(self):
        schema = self.glance.schemas.get("image")
        self.assertTrue(schema.is_base_property("disk_format"))
        self.assertFalse(schema.is_base_property("os_distro"))

    def test_features_are_detected(self):
        self.assertTrue(self.glance.versions.list())


if __name__ == "__main__":
    unittest.main()
