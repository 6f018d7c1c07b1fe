"""Holds a bill of materials against the strict schema of CycloneDX: check.py FILE"""

import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if fault is not None:
    sys.exit(f"{sys.argv[1]}: {fault}")
print(f"{sys.argv[1]}: valid")
