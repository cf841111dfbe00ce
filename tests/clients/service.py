"""What the client tests share: where the service is, and bytes to send to it."""

import hashlib
import json
import os
import random
import subprocess
import tempfile
import urllib.request
import uuid

URL = os.environ["FRESNEL_URL"]
# Where its keys are, for tests of encrypted images.
KEYRING = os.environ.get("FRESNEL_KEYRING")
PASSPHRASE = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
MIB = 1024 * 1024


def get(path):
    """A document of the service."""
    with urllib.request.urlopen(URL + path) as answer:
        return json.load(answer)


def put(path, body):
    """Replaces a document of the service."""
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request).close()


def new_key():
    """A key in the service's directory of keys."""
    key = str(uuid.uuid4())
    _keep(key + ".key", PASSPHRASE)
    return key


def bind(key, image_id):
    """The key goes with that image."""
    _keep(key + ".image", image_id)


def keys():
    return [name.removesuffix(".key") for name in os.listdir(KEYRING) if name.endswith(".key")]


def _keep(name, text):
    descriptor = os.open(os.path.join(KEYRING, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def sealed(content):
    """An image that the service has encrypted: its record."""
    image = {"name": "sealed", "disk_format": "raw", "container_format": "bare",
             "os_encrypt_format": "LUKSv1", "os_encrypt_key_id": new_key()}
    request = urllib.request.Request(URL + "/v2/images", json.dumps(image).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        path = json.load(answer)["self"]
    headers = {"Content-Type": "application/octet-stream", "X-Fresnel-Plain": "true"}
    urllib.request.urlopen(urllib.request.Request(URL + path + "/file", content, headers, method="PUT")).close()
    return get(path)


def plain(image_id):
    """What is in an encrypted image, as the service gives it."""
    request = urllib.request.Request(URL + "/v2/images/%s/file" % image_id, headers={"X-Fresnel-Plain": "true"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def opened(container):
    """What is in a container, as qemu reads it."""
    source = "driver=luks,key-secret=key,file.filename=%s" % file_of(container)
    target = file_of(b"")
    subprocess.run(
        ["qemu-img", "convert", "--object", "secret,id=key,data=" + PASSPHRASE, "--image-opts", source, "-O", "raw", target],
        check=True)
    with open(target, "rb") as file:
        return file.read()


def data(size):
    """Bytes that look like no image format, the same in every run."""
    return random.Random(size).randbytes(size)


def file_of(content):
    """The path of a new file with this content; it goes when the process ends."""
    file = tempfile.NamedTemporaryFile(prefix="fresnel-client-")
    file.write(content)
    file.flush()
    _open_files.append(file)
    return file.name


def md5(content):
    return hashlib.md5(content).hexdigest()


def sha512(content):
    return hashlib.sha512(content).hexdigest()


_open_files = []
