"""Whether a line is a valid OpenAPI 3.1 document: `valid`, or what is wrong with it."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

for line in sys.stdin:
    errors = OpenAPIV31SpecValidator(json.loads(line)).iter_errors()
    said = [f"{'/'.join(map(str, error.path))}: {error.message[:300]}" for error in errors]
    print("; ".join(said).replace("\n", " ") or "valid")
