"""The two command lines, as an operator types them. A command takes seconds to start, so they are few."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import service

BIN = pathlib.Path(sys.executable).parent


def openstack(*arguments):
    return run("openstack", "--os-auth-type", "none", "--os-endpoint", service.URL, "image", *arguments)


def glance(*arguments):
    return run("glance", "--os-image-url", service.URL, "--os-auth-token", "none", *arguments)


def run(program, *arguments):
    """What a command prints. Its input is closed: glance takes any other for image data."""
    done = subprocess.run(
        [BIN / program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = os.path.join(folder.name, "output")
        self.content = service.data(3 * service.MIB + 7)

    def saved(self):
        return pathlib.Path(self.output).read_bytes()

    def test_openstack(self):
        raw = ("--disk-format", "raw", "--container-format", "bare")
        openstack("create", "os-image", *raw, "--file", service.file_of(self.content), "--property", "a=b")
        openstack("set", "os-image", "--tag", "t", "--min-ram", "5", "--property", "c=d")
        openstack("unset", "os-image", "--property", "a")
        shown = json.loads(openstack("show", "os-image", "-f", "json"))
        self.assertEqual((shown["status"], shown["min_ram"], shown["tags"]), ("active", 5, ["t"]))
        self.assertEqual(shown["properties"]["c"], "d")
        self.assertNotIn("a", shown["properties"])
        listed = json.loads(openstack("list", "--tag", "t", "--long", "-f", "json"))
        self.assertEqual([image["Checksum"] for image in listed], [service.md5(self.content)])
        openstack("save", "os-image", "--file", self.output)
        self.assertEqual(self.saved(), self.content)
        openstack("delete", "os-image")

    def test_glance(self):
        raw = ("--disk-format", "raw", "--container-format", "bare")
        file = service.file_of(self.content)
        made = glance("image-create", "--name", "g-image", *raw, "--file", file, "--progress")
        self.assertIn(service.sha512(self.content)[:64], made)
        image = [line.split()[1] for line in glance("image-list").splitlines() if "g-image" in line][0]
        glance("image-download", "--progress", "--file", self.output, image)
        self.assertEqual(self.saved(), self.content)
        self.assertIn("project-d", glance("member-create", image, "project-d"))
        glance("image-delete", image)


if __name__ == "__main__":
    unittest.main()
