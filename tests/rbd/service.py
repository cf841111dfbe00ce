"""What the consumers' tests share: the service, the cluster, and bytes that look like no image format."""

import os
import random
import subprocess
import time
import uuid

import glanceclient
import rados
import rbd

URL = os.environ["FRESNEL_URL"]
CONF = os.environ["CEPH_CONF"]
MIB = 1024 * 1024
ACTIVE_SECONDS = 60


def data(size):
    return random.Random(size).randbytes(size)


def glance():
    return glanceclient.Client("2", URL, token="none")


def until_active(image_id):
    """The image, once its location is imported and its digest, if there is to be one, is known."""
    end = time.monotonic() + ACTIVE_SECONDS
    while True:
        image = glance().images.get(image_id)
        if image.status == "active" and "os_glance_hash_op_host" not in image:
            return image
        assert time.monotonic() < end, image
        time.sleep(0.2)


class Cluster:
    """The lab's cluster as an administrator sees it."""

    def __init__(self):
        self.rados = rados.Rados(conffile=CONF, rados_id="admin")
        self.rados.connect()
        self.fsid = self.rados.get_fsid()

    def image(self, pool, name, snapshot=None):
        return rbd.Image(self.rados.open_ioctx(pool), name, snapshot=snapshot)

    def content(self, pool, name, snapshot=None):
        with self.image(pool, name, snapshot) as image:
            return image.read(0, image.size())

    def names(self, pool):
        return rbd.RBD().list(self.rados.open_ioctx(pool))

    def create(self, pool, name, content, size=None):
        """An image as a volume driver makes it: 4 MiB objects, the cluster's default features."""
        context = self.rados.open_ioctx(pool)
        rbd.RBD().create(context, name, size or len(content), 22, old_format=False, features=61)
        with rbd.Image(context, name) as image:
            image.write(content, 0)
        return name

    def location(self, pool, name, snapshot="snap"):
        return "rbd://%s/%s/%s/%s" % (self.fsid, pool, name, snapshot)

    def register(self, pool, name):
        """Snapshot `snap`, protected, as registrars of locations leave it; and the image's URL."""
        with self.image(pool, name) as image:
            image.create_snap("snap")
            image.protect_snap("snap")
        return self.location(pool, name)

    def remove(self, pool, name):
        """Removes an image with its snapshots; it may be gone already."""
        if name not in self.names(pool):
            return
        with self.image(pool, name) as image:
            for snapshot in list(image.list_snaps()):
                if image.is_protected_snap(snapshot["name"]):
                    image.unprotect_snap(snapshot["name"])
                image.remove_snap(snapshot["name"])
        rbd.RBD().remove(self.rados.open_ioctx(pool), name)


def new_name(prefix):
    return "%s-%s" % (prefix, uuid.uuid4())


def export(pool, name, snapshot):
    """The image's bytes as the rbd command writes them."""
    return subprocess.run(
        ["rbd", "--id", "admin", "export", "--no-progress", "%s/%s@%s" % (pool, name, snapshot), "-"],
        check=True, capture_output=True).stdout
