"""Imports as the real clients make them, with two stores: `fast`, the default, and `slow`."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

import glanceclient
import openstack

import service

BIN = pathlib.Path(sys.executable).parent
RAW = {"disk_format": "raw", "container_format": "bare"}
PATIENCE = 60


def run(program, *arguments):
    """What a command prints. Its input is closed: glance takes any other for image data."""
    done = subprocess.run(
        [BIN / program, *arguments], preexec_fn=lambda: os.close(0), capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def published(path):
    """While it lasts, the address of a file on a web server."""
    path = pathlib.Path(path)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{path.name}"
        server.shutdown()


class Imports(unittest.TestCase):
    def setUp(self):
        self.glance = glanceclient.Client("2", endpoint=service.URL, token="none").images
        self.content = service.data(3 * service.MIB + 7)
        self.file = service.file_of(self.content)

    def imported(self, image):
        """The image, once no task has it any more."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            shown = self.glance.get(image)
            if shown["status"] not in ("uploading", "importing") and "os_glance_import_task" not in shown:
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{image} is still {shown['status']}")

    def stands(self, image, stores):
        shown = self.imported(image)
        self.assertEqual((shown["status"], shown["stores"]), ("active", stores))
        self.assertEqual(shown["checksum"], service.md5(self.content))
        self.assertEqual(b"".join(self.glance.data(image)), self.content)

    def test_openstack_command(self):
        where = ("--os-auth-type", "none", "--os-endpoint", service.URL)
        made = run(
            "openstack", *where, "image", "create", "os-imported", "--disk-format", "raw",
            "--container-format", "bare", "--file", self.file, "--import", "-f", "json",
        )
        self.stands(json.loads(made)["id"], "fast")

    def test_glance_command(self):
        def glance(*arguments):
            return run("glance", "--os-image-url", service.URL, "--os-auth-token", "none", *arguments)

        def table(text, name):
            return [line.split()[3] for line in text.splitlines() if f"| {name} " in line][0]

        formats = ("--disk-format", "raw", "--container-format", "bare")
        made = glance(
            "image-create-via-import", "--name", "g-imported", *formats, "--import-method", "glance-direct",
            "--file", self.file, "--stores", "slow",
        )
        image = table(made, "id")
        self.stands(image, "slow")
        made = glance("image-create", "--name", "g-staged", *formats)
        image = table(made, "id")
        glance("image-stage", "--file", self.file, image)
        glance("image-import", image, "--import-method", "glance-direct", "--all-stores", "True")
        self.stands(image, "fast,slow")
        self.assertIn("success", glance("image-tasks", image))
        self.assertIn("api_image_import", glance("task-list"))
        self.assertIn("copy-image", glance("import-info"))

    def test_glance_command_from_the_web(self):
        with published(self.file) as uri:
            made = run(
                "glance", "--os-image-url", service.URL, "--os-auth-token", "none", "image-create-via-import",
                "--name", "g-web", "--disk-format", "raw", "--container-format", "bare",
                "--import-method", "web-download", "--uri", uri, "--all-stores", "True",
            )
            image = [line.split()[3] for line in made.splitlines() if "| id " in line][0]
            self.stands(image, "fast,slow")

    def test_openstack_command_from_the_web(self):
        where = ("--os-auth-type", "none", "--os-endpoint", service.URL)
        image = self.glance.create(**RAW)["id"]
        with published(self.file) as uri:
            run("openstack", *where, "image", "import", image, "--method", "web-download", "--uri", uri)
            self.stands(image, "fast")

    def test_glanceclient_copies(self):
        image = self.glance.create(**RAW)["id"]
        self.glance.upload(image, open(self.file, "rb"))
        self.glance.image_import(image, "copy-image", stores=["slow"])
        self.stands(image, "fast,slow")

    def test_openstacksdk(self):
        cloud = openstack.connect(auth_type="none", endpoint=service.URL)
        made = cloud.image.create_image("sdk-imported", filename=self.file, use_import=True, wait=True, **RAW)
        self.stands(made.id, "fast")


if __name__ == "__main__":
    unittest.main()
