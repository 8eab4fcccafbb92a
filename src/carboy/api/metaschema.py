"""Check a document against the grammar of its version, in `grammar.yaml`, beyond its schemas."""

from pathlib import Path
from typing import Any

from carboy.api.document_errors import Faults
from carboy.api.validators import explain
from carboy.api.yaml_loader import read_text
from carboy.extras import extra

_FILE = Path(__file__).parent / "grammar.yaml"


def check_grammar(content: Any, faults: Faults) -> None:
    """Record what is unknown, missing or of the wrong type."""
    with extra("api"):
        from jsonschema_rs import Draft202012Validator

    name = "swagger_2" if "swagger" in content else "openapi_3"
    if content.get("openapi", "").startswith("3.2."):
        name = "openapi_32"
    grammar = read_text(_FILE.read_bytes())[name]
    for error in Draft202012Validator(grammar, mask="this").iter_errors(content):
        for pointer, detail in explain(error):
            faults.add(pointer, detail)
