"""Signs and verifies images as Glance's own libraries do: cryptography signs, cursive verifies. A question a line, as
JSON, and an answer a line: a signature, `good`, or what cursive says.

Further arguments are directories with Python packages, behind those of the interpreter: an older cryptography there
has the curves that newer ones have no more.
"""

import base64
import json
import sys

sys.path.extend(sys.argv[1:])

from castellan.common.objects import x_509
from castellan import key_manager
from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cursive import exception, signature_utils

HASHES = {"SHA-224": hashes.SHA224, "SHA-256": hashes.SHA256, "SHA-384": hashes.SHA384, "SHA-512": hashes.SHA512}


class Keyring:
    """The key manager: what the question says that it has."""

    def __init__(self, pem):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        self.found = x_509.X509(certificate.public_bytes(serialization.Encoding.DER))

    def get(self, context, id):
        return self.found


def sign(question):
    key = serialization.load_pem_private_key(question["key"].encode(), None)
    method = HASHES[question["method"]]()
    data = base64.b64decode(question["data"])
    if question["key_type"] == "RSA-PSS":
        signature = key.sign(data, padding.PSS(padding.MGF1(method), padding.PSS.MAX_LENGTH), method)
    elif question["key_type"] == "DSA":
        signature = key.sign(data, method)
    else:
        signature = key.sign(data, ec.ECDSA(method))
    return base64.b64encode(signature).decode()


def verify(question):
    key_manager.API = lambda: Keyring(question["certificate"])
    properties = question["properties"]
    data = base64.b64decode(question["data"])
    try:
        verifier = signature_utils.get_verifier(
            None,
            properties["img_signature_certificate_uuid"],
            properties["img_signature_hash_method"],
            properties["img_signature"],
            properties["img_signature_key_type"],
        )
        # As the bytes come.
        verifier.update(data[:1000])
        verifier.update(data[1000:])
        verifier.verify()
    except exceptions.InvalidSignature:
        return "Signature verification failed"
    except exception.SignatureVerificationError as e:
        return str(e)
    return "good"


for line in sys.stdin:
    question = json.loads(line)
    print({"sign": sign, "verify": verify}[question["do"]](question), flush=True)
