"""Make a document of its sources: read, made one of many files, checked, and translated from Swagger 2.0.

A start that finds its document on disk does without this module, and all that it stands on.
"""

from collections.abc import Mapping
from typing import Any

from carboy.api import swagger2
from carboy.api.document import Document
from carboy.api.metaschema import check_grammar, check_sense
from carboy.api.problems_found import Faults, Origin, Pointer
from carboy.api.references import Bundler
from carboy.api.validators import Schemas, explain
from carboy.api.walk import walk
from carboy.api.yaml_loader import UnreadableText, read_text
from carboy.errors import ConfigurationError, Fault
from carboy.extras import extra

__all__ = ["read_document"]

_KNOWN_VERSIONS = ("3.0.", "3.1.")


def read_document(source: bytes | dict[str, Any], file: str) -> tuple[Document, dict[str, bytes]]:
    """Return the document of a text, or of a mapping, and the text of every other file that it refers to.

    Args:
        source: the text or the mapping.
        file: the file of the text; empty for a mapping.

    Raises:
        ConfigurationError: it is not well formed; every fault with its file, line and pointer.
    """
    root = _read(source, file) if isinstance(source, bytes) else source
    version = str(root.get("openapi", root.get("swagger", ""))) if isinstance(root, dict) else ""
    name = file or _title_of(root)
    if not (version.startswith(_KNOWN_VERSIONS) or version == "2.0"):
        why = f"it says version `{version}`" if version else "it is not an object with `openapi` or `swagger`"
        raise _unreadable(name, why, "OpenAPI 3.0 and 3.1 and Swagger 2.0 are read")
    bundler = Bundler(root, file, lambda origins: Faults(name, origins))
    content = bundler.bundle()
    check_grammar(content, bundler.faults)
    bundler.faults.stop_if_any()
    origins = bundler.origins
    if version == "2.0":
        content = swagger2.translate(content)
        origins = _renamed(origins, file)
    faults = Faults(name, origins)
    check_sense(content, faults)
    _check_schemas(content, faults)
    faults.stop_if_any()
    return Document(content, name, origins), bundler.texts


def _read(data: bytes, file: str) -> Any:
    try:
        return read_text(data)
    except UnreadableText as error:
        raise _unreadable(file, f"{file}:{error.line}: {error}", "mend the line that is named") from error


def _unreadable(name: str, why: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"the OpenAPI document `{name}` cannot be served", why, hint, [Fault("", why)])


def _title_of(root: Any) -> str:
    info = root.get("info") if isinstance(root, dict) else None
    return str(info.get("title") or "document") if isinstance(info, dict) else "document"


def _renamed(origins: Mapping[Pointer, Origin], file: str) -> dict[Pointer, Origin]:
    """Follow the sections that Swagger 2.0 keeps under other names."""
    result: dict[Pointer, Origin] = {new: Origin(file, old) for new, old in swagger2.RENAMED.items()}
    back: dict[Pointer, Pointer] = {old: new for new, old in swagger2.RENAMED.items()}
    for pointer, origin in origins.items():
        result[back.get(pointer[:1], pointer[:1]) + pointer[1:]] = origin
    return result


def _check_schemas(content: dict[str, Any], faults: Faults) -> None:
    """Note each schema that is not one, or that cannot be compiled; what a schema holds is checked with it."""
    with extra("api"):
        from jsonschema_rs import Draft202012Validator
    schemas = Schemas(content)
    meta = Draft202012Validator(
        {"$ref": "https://json-schema.org/draft/2020-12/schema"}, mask="this", validate_formats=True
    )
    checked: set[Pointer] = set()
    for kind, pointer, node in walk("document", content):
        if kind != "schema" or any(pointer[:length] in checked for length in range(len(pointer))):
            continue
        checked.add(pointer)
        try:
            errors = list(meta.iter_errors(schemas.translate_alone(node)))
            for error in errors:
                for below, detail in explain(error):
                    faults.add((*pointer, *below), detail)
            if not errors:
                schemas.validator(node, "request")
        except (ValueError, KeyError, TypeError) as error:
            faults.add(pointer, f"the schema cannot be used: {error}")
