"""What schemathesis has to know beside the document: patches are JSON."""

import json

import schemathesis

OF_IMAGES = "application/openstack-images-v2.{}-json-patch"


@schemathesis.serializer(OF_IMAGES.format(1), OF_IMAGES.format(0))
def patch(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()
