"""Make a document of its sources: read, join files, check, and translate Swagger 2.0 to OpenAPI 3.

A start that finds a cached copy imports neither this module nor what it needs.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.api import swagger2
from carboy.api.coercion import default_of
from carboy.api.document_errors import Faults, unserved
from carboy.api.document_rules import check_circles, check_sense
from carboy.api.model import Document, Origin, Pointer
from carboy.api.references import Bundler
from carboy.api.validators import Schemas, compile_schema, explain
from carboy.api.walk import walk
from carboy.api.yaml_loader import MAX_DEPTH, Unreadable, plain_value, read_text
from carboy.extras import extra
from carboy.http_values import dig, parse_pointer

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

_KNOWN_VERSIONS = ("3.0.", "3.1.", "3.2.")
_GRAMMAR = Path(__file__).parent / "grammar.yaml"


def read_document(source: bytes | Mapping[Any, Any], file: str) -> tuple[Document, dict[str, bytes]]:
    """Return the document of a text or a mapping, and the bytes of every other file that it refers to.

    Args:
        source: the text or the mapping.
        file: the file of the text; empty for a mapping.

    Raises:
        ConfigurationError: it is not well formed; every fault with its file, line and pointer.
    """
    root = _read(source, file)
    name = file or _title_of(root)
    try:
        return _check(root, name, file)
    except RecursionError as error:
        raise unserved(name, f"it is nested deeper than {MAX_DEPTH} levels", "move parts to `components`") from error


def _read(source: bytes | Mapping[Any, Any], file: str) -> dict[str, Any]:
    try:
        root = read_text(source) if isinstance(source, bytes) else plain_value(source)
    except Unreadable as error:
        where = f"{file}:{error.line}: " if file else ""
        raise unserved(file or "document", f"{where}{error}", "fix the place that is named") from error
    version = str(root.get("openapi", root.get("swagger", ""))) if isinstance(root, dict) else ""
    if version.startswith(_KNOWN_VERSIONS) or version == "2.0":
        if version == "2.0":
            root["swagger"] = version  # often written as a number
        return root  # type: ignore[no-any-return]  # it is a dict, or has no version
    why, hint = "it is not an object with `openapi` or `swagger`", "OpenAPI 3.0, 3.1 and 3.2 and Swagger 2.0 are read"
    if version:
        why = f"it says version `{version}`"
        if f"{version}." in _KNOWN_VERSIONS:
            hint = f'write all three numbers, in quotes: `openapi: "{version}.0"`'
    raise unserved(file or _title_of(root), why, hint)


def _check(root: dict[str, Any], name: str, file: str) -> tuple[Document, dict[str, bytes]]:
    bundler = Bundler(root, file, lambda origins: Faults(name, origins))
    content = bundler.bundle()
    check_circles(content, bundler.faults)
    _check_grammar(content, bundler.faults)
    bundler.faults.stop_if_any()
    origins = bundler.origins
    if "swagger" in content:
        content = swagger2.translate(content)
        origins = _renamed(origins, file)
    faults = Faults(name, origins)
    check_sense(content, faults)
    schemas = Schemas(content)
    _check_schemas(content, schemas, faults)
    faults.stop_if_any()
    _check_defaults(content, schemas, faults)
    faults.stop_if_any()
    return Document(content, name, origins), bundler.texts


def _check_grammar(content: Any, faults: Faults) -> None:
    """Record what is unknown, missing or of the wrong type, beyond the schemas."""
    name = "swagger_2" if "swagger" in content else "openapi_3"
    if content.get("openapi", "").startswith("3.2."):
        name = "openapi_32"
    for error in _grammar(name).iter_errors(content):
        for pointer, detail in explain(error):
            faults.add(pointer, detail)


@cache
def _grammar(name: str) -> "Draft202012Validator":
    with extra("api"):
        from jsonschema_rs import Draft202012Validator
    return Draft202012Validator(read_text(_GRAMMAR.read_bytes())[name], mask="this")


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


def _check_defaults(content: dict[str, Any], schemas: Schemas, faults: Faults) -> None:
    """Record each default of a parameter that its own schema refuses: the function would get it."""
    for kind, pointer, node in walk("document", content):
        schema = node.get("schema") if kind == "parameter" and isinstance(node, dict) else None
        default = default_of(content, schema)
        if default is not None:
            for fault in schemas.compile(schema, "request").faults(default, ""):
                place = (*pointer, "schema", "default", *parse_pointer(fault.pointer))
                faults.add(place, f"the default {fault.detail}")


def _check_schemas(content: dict[str, Any], schemas: Schemas, faults: Faults) -> None:
    """Record each schema that is not valid, or that cannot be compiled, once and at its own place."""
    with extra("api"):
        from jsonschema_rs import Draft202012Validator, ValidationError
    meta = Draft202012Validator(
        {"$ref": "https://json-schema.org/draft/2020-12/schema"}, mask="this", validate_formats=True
    )
    inside: Pointer | None = None
    for kind, pointer, node in walk("document", content):
        if kind != "schema" or (inside is not None and pointer[: len(inside)] == inside):
            continue
        inside = pointer  # the walk is depth first: what this schema holds comes next, and is checked with it
        try:
            alone = schemas.translate_alone(node)
            errors = [error for error in meta.iter_errors(alone) if not _is_good_pattern(error, alone)]
            for error in errors:
                for below, detail in explain(error):
                    faults.add((*pointer, *below), detail)
            if not errors:
                schemas.check_compiles(node, alone)
        except ValidationError as error:
            detail = "must be of the format `regex`, and of a size that can be compiled"
            if error.kind.name == "$ref":
                detail = f"a reference leads nowhere: {error.message}"
            faults.add((*pointer, *error.instance_path), detail)
        except (ValueError, KeyError, TypeError) as error:
            faults.add(pointer, f"the schema cannot be used: {error}")


def _is_good_pattern(error: Any, schema: Any) -> bool:
    """Return whether an error is about a pattern that is not of ECMA-262 to the letter, but can be used."""
    path = [str(part) for part in error.instance_path]
    if path[-1:] != ["pattern"] or error.kind.name != "format":
        return False
    with suppress(ValueError):
        compile_schema({"pattern": dig(schema, path)})
        return True
    return False
