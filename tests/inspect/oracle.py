"""Says what Glance itself decides on streams: one JSON object a line in, one a line out.

In:  path, and optionally length (cut it there) and patches ([offset, byte] pairs); declared (the
     disk_format), require_match, nonfatal, chunk (bytes a read).
Out: refused (the client's text, or null) and virtual_size (or null).
"""

import functools
import io
import json
import logging
import sys
import types

from oslo_config import cfg

from glance.common import config  # noqa: F401 (registers the options)
from glance.common import exception
from glance import location


class Upload(location.ImageProxy):
    """Glance's own handling of an image's data, with nowhere to put it."""

    def __init__(self, declared, chunk):
        self.image = types.SimpleNamespace(
            container_format='bare', disk_format=declared, extra_properties={},
            virtual_size=None, status='active')
        self.chunk = chunk

    def _upload_to_store(self, data, verifier, store=None, size=None):
        while data.read(self.chunk):
            pass


@functools.lru_cache(maxsize=1)
def content(path):
    with open(path, 'rb') as file:
        return file.read()


def judge(job):
    data = bytearray(content(job['path']))
    del data[job.get('length', len(data)):]
    for offset, byte in job.get('patches', []):
        if offset < len(data):
            data[offset] = byte
    options = cfg.CONF.image_format
    cfg.CONF.set_override('require_image_format_match', job['require_match'], 'image_format')
    cfg.CONF.set_override('gpt_safety_checks_nonfatal', job['nonfatal'], 'image_format')
    assert options.require_image_format_match == job['require_match']
    upload = Upload(job['declared'], job['chunk'])
    try:
        upload.set_data(io.BytesIO(data))
    except exception.InvalidImageData as refusal:
        return {'refused': str(refusal), 'virtual_size': None}
    return {'refused': None, 'virtual_size': upload.image.virtual_size}


def main():
    logging.disable(logging.CRITICAL)
    cfg.CONF([], project='glance', default_config_files=[], default_config_dirs=[])
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))))


main()
