"""Metadata definitions as an operator types them: every `openstack image metadef` command. A command takes seconds to start,
so they are given to one process, as its shell does."""

import contextlib
import io
import json
import unittest

import service
from openstackclient import shell

BASE = ("--os-auth-type", "none", "--os-endpoint", service.URL, "image", "metadef")


def metadef(*arguments):
    """What a command prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = shell.main([*BASE, *arguments])
    if status != 0:
        raise AssertionError(f"metadef {' '.join(arguments)}: {out.getvalue()}{err.getvalue()}")
    return out.getvalue()


def shown(*arguments):
    return json.loads(metadef(*arguments, "-f", "json"))


def names(*arguments):
    return [row.get("name") or row["Name"] for row in shown(*arguments)]


class Metadefs(unittest.TestCase):
    def setUp(self):
        metadef("namespace", "create", "OS::Own", "--display-name", "Own", "--description", "d", "--public")
        self.addCleanup(metadef, "namespace", "delete", "OS::Own")

    def test_namespaces(self):
        metadef("namespace", "set", "OS::Own", "--display-name", "Other", "--private", "--tag", "a", "--tag", "b")
        one = shown("namespace", "show", "OS::Own")
        self.assertEqual((one["display_name"], one["visibility"]), ("Other", "private"))
        self.assertEqual(sorted(tag["name"] for tag in one["tags"]), ["a", "b"])
        metadef("namespace", "unset", "OS::Own", "--tag", "a")
        self.assertEqual(shown("namespace", "show", "OS::Own")["tags"], [{"name": "b"}])
        metadef("namespace", "unset", "OS::Own", "--all-tags")
        # The client's own lists of tags outlive a command in one process.
        self.assertEqual(service.get("/v2/metadefs/namespaces/OS::Own/tags"), {"tags": []})
        listed = shown("namespace", "list", "--visibility", "private")
        self.assertEqual([row["namespace"] for row in listed], ["OS::Own"])

    def test_objects(self):
        metadef("object", "create", "--namespace", "OS::Own", "o")
        metadef("object", "update", "OS::Own", "o", "--name", "p")
        self.assertEqual(names("object", "list", "OS::Own"), ["p"])
        self.assertEqual(shown("object", "show", "OS::Own", "p")["name"], "p")
        body = {"name": "p", "properties": {"x": {"title": "X", "type": "string"}}}
        service.put("/v2/metadefs/namespaces/OS::Own/objects/p", body)
        self.assertEqual(shown("object", "property", "show", "OS::Own", "p", "x")["title"], "X")
        metadef("object", "delete", "OS::Own", "p")
        metadef("object", "create", "--namespace", "OS::Own", "q")
        metadef("object", "delete", "OS::Own")
        self.assertEqual(names("object", "list", "OS::Own"), [])

    def test_properties(self):
        schema = json.dumps({"enum": ["x", "y"]})
        create = ("property", "create", "OS::Own", "--title", "P", "--type", "string", "--schema", schema)
        metadef(*create, "--name", "p")
        metadef("property", "set", "OS::Own", "p", "--title", "Q")
        one = shown("property", "show", "OS::Own", "p")
        self.assertEqual((one["title"], one["enum"]), ("Q", ["x", "y"]))
        self.assertEqual(names("property", "list", "OS::Own"), ["p"])
        metadef("property", "delete", "OS::Own", "p")
        metadef(*create, "--name", "q")
        metadef("property", "delete", "OS::Own")
        self.assertEqual(names("property", "list", "OS::Own"), [])

    def test_resource_types(self):
        associate = ("resource", "type", "association")
        metadef(*associate, "create", "OS::Own", "OS::Glance::Image", "--properties-target", "image")
        self.assertEqual(names(*associate, "list", "OS::Own"), ["OS::Glance::Image"])
        self.assertIn("OS::Glance::Image", json.dumps(shown("resource", "type", "list")))
        metadef(*associate, "delete", "OS::Own", "OS::Glance::Image")
        self.assertEqual(names(*associate, "list", "OS::Own"), [])
        # The type stays, and nothing that the namespace had with it.
        self.assertIn("OS::Glance::Image", json.dumps(shown("resource", "type", "list")))


if __name__ == "__main__":
    unittest.main()
