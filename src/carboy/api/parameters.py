"""Compile the parameters of an operation: each becomes one function that reads, types and checks it."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from carboy.api import coercion, styles
from carboy.api.media_types import is_json
from carboy.api.validators import Check, Schemas
from carboy.errors import Fault
from carboy.http_values import render_pointer
from carboy.problems import Problem
from carboy.strict_json import parse_json

ABSENT: Any = object()

Given = Mapping[str, list[str]]
Read = Callable[[Any, dict[str, Any], list[Fault]], None]
Raw = Callable[[Any], Any]

_DEFAULT_STYLE = {"query": "form", "path": "simple", "header": "simple", "cookie": "form"}


class Value(NamedTuple):
    """What is known of a parameter, header or form field when the document is loaded.

    Attributes:
        name: as in the document.
        place: `query`, `path`, `header`, `cookie` or `form`.
        schema: what its value must be.
        style: how it is written, its default applied; `json` for one that is a JSON text.
        explode: as in the document, its default applied.
        required: it must be there.
        delimiter: what stands between its items, when the style does not say it.
        argument: the name under which the function takes it; None when it does not.
        is_none_when_absent: the function has no default of its own for it.
        key: the name under which the source holds it.
        is_strict: a value that is given twice is refused.
        takes_empty: `name=` is taken for the empty text, or None where no text is allowed.
        others: names in the query that stand for something else, and are no members of an object without a list of
            its properties.
    """

    name: str
    place: str
    schema: Any
    style: str
    explode: bool
    required: bool
    delimiter: str = ""
    argument: str | None = None
    is_none_when_absent: bool = False
    key: str = ""
    is_strict: bool = True
    takes_empty: bool = False
    others: frozenset[str] = frozenset()

    @staticmethod
    def of(node: Mapping[str, Any], **more: Any) -> "Value":
        """Make it of a parameter object of a document."""
        place, content = node["in"], node.get("content")
        if place == "querystring":
            place, content = "query", None
            ((_, body),) = node["content"].items()
            node = {**node, "schema": body.get("schema", {}), "style": "form", "explode": True}
        style = node.get("style", _DEFAULT_STYLE[place])
        schema = node.get("schema", {})
        if content:
            ((media, body),) = content.items()
            schema = body.get("schema", {})
            style = "json" if is_json(media) else "text"
        return Value(
            name=node["name"],
            place=place,
            schema=schema,
            style="form" if style == "cookie" else style,
            explode=node.get("explode", style in {"form", "cookie"}),
            required=node.get("required", False),
            delimiter=node.get("x-carboy-delimiter", ""),
            takes_empty=node.get("allowEmptyValue", False) and place == "query",
            **more,
        )


def compile_value(value: Value, content: Any, schemas: Schemas) -> Read:
    """Return the function that reads a value from its source, and leaves an argument or what is wrong with it.

    Args:
        value: what is known of it.
        content: the whole document.
        schemas: its schemas.
    """
    types = coercion.types_of(content, value.schema)
    convert: Raw | None = None
    if value.style != "json" and types not in {(), ("string",)} and not _is_typed_by_route(value, types):
        convert = coercion.reader(content, value.schema)
    check = None if schemas.is_plain(value.schema) else schemas.compile(value.schema, "request")
    default = coercion.default_of(content, value.schema)
    if default is None and not value.is_none_when_absent:
        default = ABSENT
    read = _reader(value, _raw(value, content), convert, check, default)
    return _with_empty(value, read, None if types and "string" not in types else "") if value.takes_empty else read


def compile_field(name: str, schema: Any, encoding: Mapping[str, Any], content: Any, *, is_strict: bool) -> Raw:
    """Return the function that takes one field of a form, typed but not checked; `ABSENT` when it is not there.

    The function raises ValueError, with words for the sender.
    """
    types = coercion.types_of(content, schema)
    kind, has_style = encoding.get("contentType", ""), not {"style", "explode"}.isdisjoint(encoding)
    is_list = _first(types) == "array"
    items = coercion.types_of(content, coercion.keyword_of(content, schema, "items")) if is_list else types
    holds_json = any(map(is_json, kind.split(","))) or (_first(items) == "object" and not has_style)
    if is_list and holds_json:
        return _json_list(name)
    style = "json" if holds_json else encoding.get("style", "form")
    delimiter = encoding.get("x-carboy-delimiter", "")
    explode = encoding.get("explode", style == "form")
    value = Value(
        name, "form", schema, style, explode, required=False, delimiter=delimiter, is_strict=is_strict, key=name
    )
    raw = _raw(value, content)
    if style == "json" or not types or types == ("string",):
        return raw
    convert = coercion.reader(content, schema)

    def read(given: Given) -> Any:
        found = raw(given)
        return found if found is ABSENT else convert(found)

    return read


def takes_others(content: Any, schema: Any) -> bool:
    """Return whether an object may have members that are not listed as its properties."""
    keywords = ("additionalProperties", "patternProperties")
    return any(coercion.keyword_of(content, schema, keyword) for keyword in keywords)


def parse_query(text: str) -> dict[str, list[str]]:
    """Return the decoded names and values of a query string in its WSGI form.

    Raises:
        Problem: 400, it is not UTF-8.
    """
    found: dict[str, list[str]] = {}
    try:
        if not text.isascii():
            text = text.encode("latin-1").decode()
        for pair in text.split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair:
                name = unquote(name.replace("+", " "), errors="strict")
                value = unquote(value.replace("+", " "), errors="strict")
            if name in found:
                found[name].append(value)
            else:
                found[name] = [value]
    except UnicodeError as error:
        raise Problem(400, "the query is not UTF-8") from error
    return found


def unknown_names(values: Iterable[Value], content: Any, others: Iterable[str]) -> Callable[[Given], list[str]] | None:
    """Return the function that lists the names in a query that no parameter accounts for; None when any name may be."""
    known, deep = set(others), list[str]()
    for value in values:
        is_object = coercion.types_of(content, value.schema)[-1:] == ("object",)
        if value.style == "deepObject":
            deep.append(value.name)
        elif is_object and value.explode and value.style == "form":
            if takes_others(content, value.schema):
                return None
            known |= set(coercion.properties_of(content, value.schema))
        else:
            known.add(value.name)

    def unknown(given: Given) -> list[str]:
        return [key for key in given if key not in known and not any(styles.is_deep_key(name, key) for name in deep)]

    return unknown


def _with_empty(value: Value, read: Read, empty: str | None) -> Read:
    def read_or_empty(source: Any, kwargs: dict[str, Any], faults: list[Fault]) -> None:
        if source.get(value.key) != [""]:
            read(source, kwargs, faults)
        elif value.argument is not None:
            kwargs[value.argument] = empty

    return read_or_empty


def _reader(value: Value, raw: Raw, convert: Raw | None, check: Check | None, default: Any) -> Read:
    root = render_pointer((value.place, value.name))
    argument, required = value.argument, value.required
    is_mutable = isinstance(default, list | dict)
    missing = f"the {value.place} parameter `{value.name}` is required"

    def absent(kwargs: dict[str, Any], faults: list[Fault]) -> None:
        if required:
            faults.append(Fault(root, missing))
        elif argument is not None and default is not ABSENT:
            kwargs[argument] = copy.deepcopy(default) if is_mutable else default

    def read(source: Any, kwargs: dict[str, Any], faults: list[Fault]) -> None:
        try:
            found = raw(source)
            if found is ABSENT:
                absent(kwargs, faults)
                return
            if convert is not None:
                found = convert(found)
        except ValueError as error:
            faults.append(Fault(root, str(error)))
            return
        if check is not None and not check.is_valid(found):
            faults.extend(check.faults(found, root))
        elif argument is not None:
            kwargs[argument] = found

    return read


def _is_typed_by_route(value: Value, types: tuple[str, ...]) -> bool:
    return value.place == "path" and value.style == "simple" and types in {("integer",), ("number",)}


def _raw(value: Value, content: Any) -> Raw:
    """Make the function that takes the untyped value from its source."""
    types = coercion.types_of(content, value.schema)
    form: styles.Form = "array" if "array" in types else "object" if "object" in types else "primitive"
    if value.style in {"json", "text"}:
        return _text(value, _json if value.style == "json" else str)
    if value.place in {"query", "form"}:
        if value.style == "deepObject":
            return _deep(value, content)
        if form == "object" and value.explode:
            return _spread(value, content)
        if form == "array" and value.explode:
            return _repeated(value, content)
    if form == "primitive" and value.style in {"form", "simple"}:
        return _single(value)
    split = styles.splitter(value.style, value.explode, form, value.name, value.delimiter)
    if value.place == "cookie" and value.explode and form != "primitive":
        return _cookie(value, content, form)
    return _text(value, split)


def _single(value: Value) -> Raw:
    key, is_strict = value.key, value.is_strict
    if value.place not in {"query", "form"}:
        return lambda source: source.get(key, ABSENT)

    def raw(given: Given) -> Any:
        values = given.get(key)
        if values is None:
            return ABSENT
        if is_strict and len(values) > 1:
            raise ValueError("is given more than once")
        return values[-1]

    return raw


def _text(value: Value, split: Callable[[str], Any]) -> Raw:
    single = _single(value)

    def raw(source: Any) -> Any:
        text = single(source)
        return text if text is ABSENT else split(text)

    return raw


def _first(types: tuple[str, ...]) -> str | None:
    return next((name for name in types if name != "null"), None)


def _json_list(key: str) -> Raw:
    """An array of JSON texts, each in a field of the same name; a single one may be the array itself."""

    def raw(given: Given) -> Any:
        found = [_json(text) for text in given.get(key, ())]
        if not found:
            return ABSENT
        return found[0] if len(found) == 1 and type(found[0]) is list else found

    return raw


def _json(text: str) -> Any:
    try:
        return parse_json(text.encode())
    except Problem as problem:
        raise ValueError("must be JSON") from problem


def _repeated(value: Value, content: Any) -> Raw:
    """An array whose items are repeated; items that cannot hold a comma may also stand in one, with commas between."""
    key = value.key
    items = coercion.types_of(content, coercion.keyword_of(content, value.schema, "items") or {})
    is_splittable = bool(items) and not {"string", "array", "object"} & set(items)

    def raw(given: Given) -> Any:
        values = given.get(key)
        if values is None:
            return ABSENT
        if values == [""]:
            return []
        return [part for text in values for part in text.split(",")] if is_splittable else values

    return raw


def _spread(value: Value, content: Any) -> Raw:
    """An object whose properties are parameters of their own."""
    properties = coercion.properties_of(content, value.schema)
    lists = {name for name, schema in properties.items() if "array" in coercion.types_of(content, schema)}
    takes_any = takes_others(content, value.schema)

    def raw(given: Given) -> Any:
        known = {
            name: values
            for name, values in given.items()
            if name in properties or (takes_any and name not in value.others)
        }
        for name, values in known.items() if value.is_strict else ():
            if len(values) > 1 and name in properties and name not in lists:  # others may be lists
                raise ValueError(f"has `{name}` more than once")
        return {name: values if name in lists else values[-1] for name, values in known.items()} or ABSENT

    return raw


def _deep(value: Value, content: Any) -> Raw:
    name, schema = value.name, value.schema

    def is_array(path: tuple[str, ...]) -> bool:
        below = schema
        for part in path:
            if "array" in coercion.types_of(content, below) and (part == "" or part.isdecimal()):
                below = coercion.keyword_of(content, below, "items") or {}
            else:
                below = coercion.properties_of(content, below).get(part) or {}
        return "array" in coercion.types_of(content, below)

    def raw(given: Given) -> Any:
        found = styles.deep_object(name, given, is_array, is_strict=value.is_strict)
        return ABSENT if found is None else found

    return raw


def _cookie(value: Value, content: Any, form: styles.Form) -> Raw:
    """A cookie that holds several values with `&` between, as the style `form` has it when it is exploded."""
    properties = coercion.properties_of(content, value.schema)
    key = value.key

    def raw(cookies: Mapping[str, str]) -> Any:
        if form == "array":
            text = cookies.get(key)
            return ABSENT if text is None else text.split(f"&{key}=") if text else []
        parts = [f"{name}={text}" for name, text in cookies.items() if name in properties]
        return styles.pairs("&".join(parts).split("&")) if parts else ABSENT

    return raw
