"""Compile the body of an operation: one reader for each content type."""

import copy
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from os import SEEK_END
from typing import Any, NamedTuple

from flask import Request
from werkzeug.datastructures import FileStorage

from carboy.api import coercion as typed
from carboy.api.media_types import FORM, MULTIPART, is_json, is_json_lines, kind_of, matches
from carboy.api.operations import Signature, argument_names, choose
from carboy.api.parameters import ABSENT, Raw, compile_field, takes_others
from carboy.api.raw_body import BodyReader, BodyStep, find_reader, read_body, read_bytes
from carboy.api.styles import is_deep_key
from carboy.api.validators import Check, Schemas, add_faults
from carboy.errors import Fault
from carboy.http_values import render_pointer
from carboy.problems import Problem
from carboy.strict_json import parse_json

_FORMS = (FORM, MULTIPART)
_ANY_BYTES = "application/octet-stream"


class Body(NamedTuple):
    """What is known of an operation's body, and of the function that takes it.

    Attributes:
        node: the request body object.
        content: the whole document.
        schemas: its schemas.
        signature: what the function takes.
        is_pythonic: arguments are in snake case.
        is_strict: form fields without a description are refused.
        max_depth: how deep JSON may be nested.
    """

    node: Mapping[str, Any]
    content: Any
    schemas: Schemas
    signature: Signature
    is_pythonic: bool
    is_strict: bool
    max_depth: int


def compile_body(body: Body) -> BodyStep:
    """Return the function that reads a body, and leaves it as an argument or leaves what is wrong with it."""
    readers = {kind: _reader(body, kind, media) for kind, media in body.node.get("content", {}).items()}
    choose_reader = find_reader(readers)
    required, argument = body.node.get("required", False), _argument(body)
    default = _default(body)
    others = sorted((arguments_of(body) - {argument or ""}) & body.signature.required)

    def step(request: Request, kwargs: dict[str, Any], faults: list[Fault]) -> None:
        environ = request.environ
        if required or environ.get("CONTENT_LENGTH", "0") not in {"", "0"} or "wsgi.input_terminated" in environ:
            found = choose_reader(environ.get("CONTENT_TYPE") or "")(request, kwargs, faults)
        else:
            found = ABSENT
        if argument is not None and (found is not ABSENT or default is not ABSENT):
            kwargs[argument] = copy.deepcopy(default) if found is ABSENT else found
        for name in others:
            kwargs.setdefault(name, None)

    return step


def arguments_of(body: Body) -> set[str]:
    """Return the arguments that a body can fill: itself, and in forms the files and what else is an argument there."""
    names = {_argument(body)}
    for kind, media in body.node.get("content", {}).items():
        if kind_of(kind) in _FORMS:
            properties = typed.properties_of(body.content, media.get("schema", {}))
            names |= {_argument_of(body, name) for name in properties}
    return {name for name in names if name is not None}


def _argument(body: Body) -> str | None:
    if body.node.get("x-carboy-form-arguments"):
        return None
    named = body.node.get("x-body-name")
    for media in body.node.get("content", {}).values():
        schema = media.get("schema")
        named = named or (schema.get("x-body-name") if isinstance(schema, dict) else None)
    return _argument_of(body, named or "body")


def _default(body: Body) -> Any:
    for media in body.node.get("content", {}).values():
        found = typed.keyword_of(body.content, media.get("schema"), "default")
        if found is not None:
            return found
    argument = _argument(body)
    return None if argument in body.signature.required else ABSENT


def _reader(body: Body, name: str, media: Mapping[str, Any]) -> BodyReader:
    kind = kind_of(name)
    if kind in _FORMS:
        return _form(body, media)
    if is_json_lines(kind):
        return _json_lines(body, media)
    if is_json(kind):
        return _json(body, media)
    if matches("application/json", kind):
        return _by_header(body, media)
    return _text(body, media) if kind.startswith("text/") else _raw(body, media)


def _by_header(body: Body, media: Mapping[str, Any]) -> BodyReader:
    """Make the reader of a range such as `*/*`: JSON by its header, or without one where the schema wants no text."""
    if _is_file(body.content, media.get("schema")):
        return _raw(body, media)
    json, types = _json(body, media), typed.types_of(body.content, media.get("schema"))
    is_json_by_default = bool(types) and "string" not in types

    def read(request: Request, kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        is_read = is_json(request.mimetype) if request.mimetype else is_json_by_default
        return (json if is_read else read_bytes)(request, kwargs, faults)

    return read


def _raw(body: Body, media: Mapping[str, Any]) -> BodyReader:
    """Make the reader of bytes, of which a schema can say how many there are. Source: OpenAPI 3.1.1, 4.8.14.4."""
    limits = _length_limits(body.content, media.get("schema"))
    if not limits:
        return read_bytes
    check = body.schemas.compile(limits, "request")

    def read(request: Request, _kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        data = read_body(request)
        faults.extend(check.faults("\0" * len(data), ""))
        return data

    return read


def _length_limits(content: Any, schema: Any) -> dict[str, Any]:
    found = {name: typed.keyword_of(content, schema, name) for name in ("minLength", "maxLength")}
    return {name: limit for name, limit in found.items() if limit is not None}


def _check(body: Body, media: Mapping[str, Any], key: str = "schema") -> Check | None:
    return body.schemas.compile(media[key], "request") if key in media else None


def _json(body: Body, media: Mapping[str, Any]) -> BodyReader:
    check = _check(body, media)
    required, max_depth = body.node.get("required", False), body.max_depth

    def read(request: Request, _kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        data = read_body(request)
        if not data and not required:
            return ABSENT
        value = parse_json(data, max_depth)
        add_faults(check, value, "", faults)
        return value

    return read


def _json_lines(body: Body, media: Mapping[str, Any]) -> BodyReader:
    """Make the reader of a sequence of JSON texts, one on each line, which becomes a list."""
    item, whole = _check(body, media, "itemSchema"), _check(body, media)

    def read(request: Request, _kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        value: list[Any] = []
        for number, line in enumerate(read_body(request).replace(b"\x1e", b"").split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                value.append(parse_json(line, body.max_depth))
            except Problem as problem:
                problem.detail = f"line {number}: {problem.detail}"
                raise
            add_faults(item, value[-1], render_pointer((len(value) - 1,)), faults)
        add_faults(whole, value, "", faults)
        return value

    return read


def _text(body: Body, media: Mapping[str, Any]) -> BodyReader:
    check = _check(body, media)

    def read(request: Request, _kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        try:
            text = read_body(request).decode(request.mimetype_params.get("charset", "utf-8"))
        except (LookupError, UnicodeDecodeError) as error:
            raise Problem(400, "the body is not text of its character set") from error
        add_faults(check, text, "", faults)
        return text

    return read


class _FileField(NamedTuple):
    is_list: bool
    argument: str | None
    content_types: tuple[str, ...]
    has_length: bool = False  # the schema limits how many bytes a file has


def _form(body: Body, media: Mapping[str, Any]) -> BodyReader:
    """Make the reader of a form: its fields become the body, its files become arguments of their own."""
    schema, encodings = media.get("schema", {}), media.get("encoding", {})
    properties = typed.properties_of(body.content, schema)
    files = {name: field for name, below in properties.items() if (field := _file_field(body, name, below, encodings))}
    fields = {
        name: compile_field(name, below, encodings.get(name, {}), body.content, is_strict=body.is_strict)
        for name, below in properties.items()
        if name not in files
    }
    defaults = {name: typed.default_of(body.content, below) for name, below in properties.items()}
    defaults = {name: default for name, default in defaults.items() if default is not None and name in fields}
    takes_any = "schema" not in media or takes_others(body.content, schema) or not body.is_strict
    find_schema = typed.other_members(body.content, schema)
    loose = {name: field for name in fields if (field := _loose_field(body, name, properties[name])) is not None}
    check = body.schemas.compile(schema, "request")
    spread = _spread(body, fields) if body.node.get("x-carboy-form-arguments") else None

    def read(request: Request, kwargs: dict[str, Any], faults: list[Fault]) -> Any:
        given, before = request.form.to_dict(flat=False), len(faults)
        _add_texts(request, fields.keys() - loose.keys(), given, faults)
        others = sorted(given.keys() - fields.keys())
        added = {name: _other_field(body, name, find_schema(name), encodings) for name in others if takes_any}
        value = {**defaults, **_take_fields({**fields, **added}, given, faults)}
        checked = {**value, **_take_files(request, {**files, **loose}, kwargs, faults)}
        for name in request.files.keys() - files.keys() - fields.keys() if request.files else ():
            if _is_file(body.content, find_schema(name)):
                value[name], checked[name] = request.files[name], ""
        if not takes_any:
            unknown = [name for name in others if not any(is_deep_key(one, name) for one in fields)]
            unknown += sorted(request.files.keys() - files.keys() - fields.keys())
            faults.extend(Fault(render_pointer((name,)), "is not known here") for name in unknown)
        if not check.is_valid(checked):
            reported = {fault.pointer for fault in faults[before:]}
            faults.extend(one for one in check.faults(checked, "") if one.pointer not in reported)
        if spread is not None:
            kwargs.update({spread[name]: found for name, found in value.items() if name in spread})
        return value

    return read


def _take_fields(fields: Mapping[str, Raw], given: Mapping[str, list[str]], faults: list[Fault]) -> dict[str, Any]:
    """Return the fields that are there, typed; record those whose text is not of their type."""
    value: dict[str, Any] = {}
    for name, take in fields.items():
        try:
            found = take(given)
        except ValueError as error:
            faults.append(Fault(render_pointer((name,)), str(error)))
        else:
            value |= {} if found is ABSENT else {name: found}
    return value


def _other_field(body: Body, name: str, schema: Any, encodings: Mapping[str, Any]) -> Raw:
    """Return the reader of a field that is no property."""
    if typed.types_of(body.content, schema):
        return compile_field(name, schema, encodings.get(name, {}), body.content, is_strict=body.is_strict)
    return lambda given: given[name][-1]


def _argument_of(body: Body, name: str) -> str | None:
    return choose(argument_names(name, is_pythonic=body.is_pythonic), body.signature)


def _spread(body: Body, fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the argument of each field, where the fields are arguments of their own (Swagger 2.0)."""
    names = {name: _argument_of(body, name) for name in fields}
    return {name: argument for name, argument in names.items() if argument is not None}


def _file_field(body: Body, name: str, schema: Any, encodings: Mapping[str, Any]) -> _FileField | None:
    items = typed.keyword_of(body.content, schema, "items")
    is_list = items is not None and _is_file(body.content, items)
    if not is_list and not _is_file(body.content, schema):
        return None
    argument = _argument_of(body, name)
    allowed = encodings.get(name, {}).get("contentType", "")
    kinds = tuple(kind.strip().lower() for kind in allowed.split(",") if kind.strip())
    return _FileField(is_list, argument, kinds, bool(_length_limits(body.content, items if is_list else schema)))


def _loose_field(body: Body, name: str, schema: Any) -> _FileField | None:
    """Return the file that a field without a type may be as well: a part that comes with a file name is one."""
    items = typed.keyword_of(body.content, schema, "items")
    types = typed.types_of(body.content, schema)
    is_list = types == ("array",) and not typed.types_of(body.content, items)
    return _FileField(is_list, _argument_of(body, name), ()) if is_list or not types else None


def _add_texts(request: Request, names: AbstractSet[str], given: dict[str, list[str]], faults: list[Fault]) -> None:
    """Add the fields that come with a file name, as browsers write a `Blob` of JSON."""
    for name in names & request.files.keys() if request.files else ():
        for part in request.files.getlist(name):
            kind = part.mimetype or _ANY_BYTES
            try:
                if not (is_json(kind) or kind.startswith("text/") or kind == _ANY_BYTES):
                    raise ValueError(kind)
                text = part.read().decode()
            except ValueError:
                faults.append(Fault(render_pointer((name,)), f"must be a field, not a file of the type `{kind}`"))
            else:
                given.setdefault(name, []).append(text)


def _is_file(content: Any, schema: Any) -> bool:
    """Return whether a schema describes raw bytes. Source: OpenAPI 3.1.1, "Considerations for File Uploads"."""
    encoding = typed.keyword_of(content, schema, "contentEncoding")
    if typed.keyword_of(content, schema, "format") == "binary" or encoding == "binary":
        return True
    media = typed.keyword_of(content, schema, "contentMediaType")
    return isinstance(media, str) and encoding is None and not is_json(media)


def _take_files(
    request: Request, files: Mapping[str, _FileField], kwargs: dict[str, Any], faults: list[Fault]
) -> dict[str, Any]:
    """Fill the arguments of the files; return what stands for each when the fields are checked.

    A part without a name and without bytes is what browsers send where no file was chosen.
    """
    stand_ins: dict[str, Any] = {}
    for name, field in files.items():
        given = [file for file in request.files.getlist(name) if file.filename or _size_bytes(file)]
        for file in given:
            kind = file.mimetype
            if field.content_types and not any(matches(kind, kind_of(one)) for one in field.content_types):
                words = f"must be of the content type {' or '.join(field.content_types)}"
                faults.append(Fault(render_pointer((name,)), words))
        if given:
            texts = ["\0" * _size_bytes(file) if field.has_length else "" for file in given]
            stand_ins[name] = texts if field.is_list else texts[0]
            if field.argument is not None:
                kwargs[field.argument] = given if field.is_list else given[0]
    return stand_ins


def _size_bytes(file: FileStorage) -> int:
    file.stream.seek(0, SEEK_END)
    size = file.stream.tell()
    file.stream.seek(0)
    return size
