"""What the client tests share: where the service is, and bytes to send to it."""

import hashlib
import json
import os
import random
import tempfile
import urllib.request

URL = os.environ["FRESNEL_URL"]
MIB = 1024 * 1024


def get(path):
    """A document of the service."""
    with urllib.request.urlopen(URL + path) as answer:
        return json.load(answer)


def put(path, body):
    """Replaces a document of the service."""
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request).close()


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
