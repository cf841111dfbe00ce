"""python-glareclient's library: schemas, the life of an artifact, blobs and folders, lists."""

import hashlib
import io
import unittest

import service
from glareclient import client, exc


class Artifacts(unittest.TestCase):
    def setUp(self):
        self.artifacts = client.Client("1", endpoint=service.URL).artifacts

    def make(self, name, type_name="images", **fields):
        made = self.artifacts.create(name, type_name=type_name, **fields)
        self.addCleanup(self.artifacts.delete, made["id"], type_name=type_name)
        return made["id"]

    def download(self, *place, type_name):
        """The client's own iterator is Python 2's; it compares the MD5 so."""
        got = self.artifacts.download_blob(*place, type_name=type_name)
        content = b"".join(got.iter)
        self.assertEqual(got.hash_md5, service.md5(content))
        return content

    def test_types(self):
        types = dict(self.artifacts.get_type_list())
        self.assertEqual("1.0", types["images"])
        self.assertIn("all", types)
        schema = self.artifacts.get_type_schema("heat_templates")
        self.assertEqual("BlobDict", schema["properties"]["nested_templates"]["glareType"])

    def test_life(self):
        made = self.make("life", disk_format="raw", container_format="bare", version="1.0")
        kind = {"type_name": "images"}
        self.artifacts.update(made, os_distro="debian", **kind)
        self.artifacts.add_tag(made, "one", **kind)
        self.artifacts.add_tag(made, "two", **kind)
        self.assertEqual(["two"], self.artifacts.remove_tag(made, "one", **kind)["tags"])
        self.assertEqual("active", self.artifacts.activate(made, **kind)["status"])
        with self.assertRaises(exc.HTTPForbidden):
            self.artifacts.update(made, os_distro="other", **kind)
        self.assertEqual("deactivated", self.artifacts.deactivate(made, **kind)["status"])
        self.assertEqual("active", self.artifacts.reactivate(made, **kind)["status"])
        self.assertEqual("public", self.artifacts.publish(made, **kind)["visibility"])
        self.assertEqual("debian", self.artifacts.get(made, **kind)["os_distro"])
        with self.assertRaises(exc.HTTPNotFound):
            self.artifacts.get("3b8d1a92-9c0c-4c5c-8c53-2b1f4d9b0a11", **kind)
        with self.assertRaises(exc.HTTPConflict):
            self.make("life", version="1")
            self.make("life", version="1")

    def test_remove_a_property(self):
        made = self.make("less", os_distro="debian", metadata={"a": "1", "b": "2"})
        left = self.artifacts.update(made, type_name="images", remove_props=["os_distro", "metadata/a"])
        self.assertIsNone(left["os_distro"])
        self.assertEqual({"b": "2"}, left["metadata"])

    def test_blobs(self):
        made = self.make("bytes")
        content = service.data(3 * service.MIB + 5)
        with open(service.file_of(content), "rb") as file:
            self.artifacts.upload_blob(made, "image", file, type_name="images", content_type="application/x-disk")
        self.assertEqual(content, self.download(made, "image", type_name="images"))
        blob = self.artifacts.get(made, type_name="images")["image"]
        self.assertEqual(hashlib.sha256(content).hexdigest(), blob["sha256"])
        self.assertEqual(hashlib.sha1(content).hexdigest(), blob["sha1"])
        self.assertEqual("application/x-disk", blob["content_type"])

    def test_folders_and_locations(self):
        kind = {"type_name": "heat_templates"}
        made = self.make("template", **kind)
        self.artifacts.upload_blob(made, "template", io.BytesIO(b"version: x"), **kind)
        self.artifacts.upload_blob(made, "nested_templates/a.yaml", io.BytesIO(b"nested"), **kind)
        self.assertEqual(b"nested", self.download(made, "nested_templates/a.yaml", **kind))
        elsewhere = {"url": "http://127.0.0.1/b.yaml", "md5": "0"}
        self.artifacts.add_external_location(made, "nested_templates/b.yaml", elsewhere, **kind)
        folder = self.artifacts.get(made, **kind)["nested_templates"]
        self.assertEqual(["a.yaml", "b.yaml"], sorted(folder))
        self.assertTrue(folder["b.yaml"]["external"])
        self.artifacts.remove_external_location(made, "nested_templates/b.yaml", **kind)
        self.assertEqual(["a.yaml"], list(self.artifacts.get(made, **kind)["nested_templates"]))

    def test_lists(self):
        for version in ("1.0", "2.0", "10.0"):
            self.make("listed", version=version, os_distro="debian")
        filters = lambda: [("name", "listed")]  # noqa: E731 - the client adds to it
        listed = list(self.artifacts.list(type_name="images", filters=filters(), sort="version:asc", page_size=2))
        self.assertEqual(["1.0.0", "2.0.0", "10.0.0"], [one["version"] for one in listed])
        newest = self.artifacts.get_by_name("listed", type_name="images")
        self.assertEqual("10.0.0", newest["version"])
        found = self.artifacts.list(type_name="all", filters=[("name", "listed"), ("version", "gte:2.0")])
        self.assertEqual(2, len(list(found)))


if __name__ == "__main__":
    unittest.main()
