"""Compile the schemas of a document, each once, and say in words what a value breaks.

The dialect of OpenAPI 3.0 is translated to JSON Schema 2020-12 first. `readOnly` and `writeOnly` make two schemas of
one: a request may not hold what is read only, an answer not what is write only.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from carboy.api.walk import children, deref, parse_pointer, render_pointer
from carboy.errors import Fault
from carboy.extras import extra

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

__all__ = ["MAX_FAULTS", "Check", "Direction", "Schemas", "explain"]

Direction = Literal["request", "answer"]

MAX_FAULTS = 1000  # a small body can break a rule a million times: an answer stays of a sane size

_COMPONENT = "#/components/schemas/"
_HIDDEN = {"request": "readOnly", "answer": "writeOnly"}
_BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_NO_RULES = frozenset(
    ("type", "title", "description", "default", "example", "examples", "deprecated", "nullable", "xml", "externalDocs")
)


class Check:
    """One schema, compiled when the first value comes: a start pays only for what is used.

    Attributes:
        is_valid: says whether a value of JSON keeps it; the fast way.
    """

    __slots__ = ("_make", "is_valid")

    def __init__(self, make: Callable[[], "Validator"]) -> None:
        self._make = make
        self.is_valid: Callable[[Any], bool] = self._first_is_valid

    def faults(self, value: Any, root: str) -> list[Fault]:
        """Return everything that is wrong with a value, at most `MAX_FAULTS`.

        Args:
            value: a value of JSON.
            root: the pointer of the value itself, empty for a body.
        """
        found: dict[Fault, None] = {}
        for error in self._compiled().iter_errors(value):
            for pointer, detail in explain(error):
                found[Fault(root + render_pointer(pointer), detail)] = None
            if len(found) >= MAX_FAULTS:
                break
        return list(islice(found, MAX_FAULTS))

    def _first_is_valid(self, value: Any) -> bool:
        self.is_valid = self._compiled().is_valid
        return self.is_valid(value)

    def _compiled(self) -> "Validator":
        validator = self._make()
        self._make = lambda: validator
        return validator


class Schemas:
    """The schemas of one document."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._is_30 = str(content.get("openapi", "")).startswith("3.0")
        self._components: Mapping[str, Any] = content.get("components", {}).get("schemas", {})
        self._checks: dict[tuple[str, Direction], Check] = {}
        self._known: dict[tuple[str, Direction], tuple[Any, frozenset[str]]] = {}

    def compile(self, schema: Any, direction: Direction) -> Check:
        """Return the check of a schema; each component is compiled once."""
        reference = schema.get("$ref") if isinstance(schema, dict) and len(schema) == 1 else None
        if reference is None:
            return Check(lambda: self.validator(schema, direction))
        key = reference, direction
        if key not in self._checks:
            self._checks[key] = Check(lambda: self.validator(schema, direction))
        return self._checks[key]

    def validator(self, schema: Any, direction: Direction) -> "Validator":
        """Compile a schema.

        Raises:
            ValueError: the schema is not one, or names what is not there.
        """
        with extra("api"):
            from jsonschema_rs import Draft202012Validator, ReferencingError
        try:
            return Draft202012Validator(
                self.translate(schema, direction), mask="this", validate_formats=True, formats=_FORMATS, offline=True
            )
        except (ReferencingError, KeyError) as error:
            raise ValueError(f"a reference leads nowhere: {error}") from error

    def translate(self, schema: Any, direction: Direction) -> Any:
        """Return a schema of JSON Schema 2020-12 that holds every component it needs."""
        needed: set[str] = set()
        translated = self._translate(schema, direction, needed)
        if not needed:
            return translated
        shared: dict[str, Any] = {}
        pending = list(needed)
        while pending:
            name = pending.pop()
            if name in shared:
                continue
            shared[name], more = self._component(name, direction)
            pending += more
        if "$defs" in translated or "$id" in translated:
            return {"$defs": {**shared, "": translated}, "$ref": "#/$defs/"}
        return {**translated, "$defs": shared}

    def translate_alone(self, schema: Any) -> Any:
        """Return a schema of JSON Schema 2020-12 without the components it needs."""
        return self._translate(schema, "request", set())

    def is_plain(self, schema: Any) -> bool:
        """Say whether a schema has no rule but its type, so that a value that was read as that type keeps it."""
        if not isinstance(schema, dict) or not schema.keys() <= _NO_RULES:
            return False
        return isinstance(schema.get("type"), str) and schema["type"] not in {"array", "object"}

    def _component(self, name: str, direction: Direction) -> tuple[Any, frozenset[str]]:
        key = name, direction
        if key not in self._known:
            needed: set[str] = set()
            translated = self._translate(self._components[name], direction, needed)
            self._known[key] = translated, frozenset(needed)
        return self._known[key]

    def _translate(self, schema: Any, direction: Direction, needed: set[str]) -> Any:
        if not isinstance(schema, dict) or "$id" in schema:
            return schema
        result = dict(schema)
        for (key, *name), _, value in children("schema", schema):
            below = self._translate(value, direction, needed)
            if not name:
                result[key] = below
            elif isinstance(schema[key], list):
                result[key] = [*(result[key][: int(name[0])]), below, *(schema[key][int(name[0]) + 1 :])]
            else:
                result[key] = {**result[key], name[0]: below}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(_COMPONENT):
            name_, *rest = parse_pointer(reference[1:])[2:]
            needed.add(name_)
            result["$ref"] = "#" + quote(render_pointer(["$defs", name_, *rest]))
            if self._is_30:
                return {"$ref": result["$ref"]}
        self._hide(schema, result, direction)
        _bound(result)
        return _from_30(result) if self._is_30 else result

    def _hide(self, schema: Mapping[str, Any], result: dict[str, Any], direction: Direction) -> None:
        """Refuse the properties that are not for this direction, and do not ask for them."""
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return
        hidden = [name for name, below in properties.items() if self._is_hidden(below, _HIDDEN[direction])]
        if hidden:
            result["properties"] = {**result["properties"], **dict.fromkeys(hidden, False)}
            result["required"] = [name for name in schema.get("required", []) if name not in hidden]

    def _is_hidden(self, schema: Any, keyword: str) -> bool:
        if isinstance(schema, dict) and schema.get(keyword) is True:
            return True
        try:
            found = deref(self._content, schema)
        except KeyError:
            return False
        if not isinstance(found, dict):
            return False
        return found.get(keyword) is True or any(
            isinstance(part, dict) and part.get(keyword) is True for part in found.get("allOf", ())
        )


def explain(error: "ValidationError") -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the pointer and the words of each thing that an error stands for; no word is of the value itself."""
    pointer = tuple(error.instance_path)
    kind: Any = error.kind
    match kind.name:
        case "required":
            yield (*pointer, kind.property), "is required"
        case "additionalProperties" | "unevaluatedProperties":
            for name in kind.unexpected:
                yield (*pointer, name), "is not known here"
        case "falseSchema":
            yield pointer, "is not allowed here"
        case "type":
            yield pointer, "must be " + _or(sorted(kind.types))
        case "oneOf" | "anyOf":
            yield from _explain_choice(pointer, kind.context)
        case "const":
            yield pointer, f"must be {json.dumps(kind.expected_value)}"
        case "format":
            yield pointer, f"must be of the format `{kind.format}`"
        case _:
            yield pointer, error.message.removeprefix("this ")


def _explain_choice(
    pointer: tuple[str | int, ...], branches: Sequence[Sequence["ValidationError"]]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Explain the one branch that was meant, when it can be told; else say that none fits."""
    meant = [branch for branch in branches if branch and not any(_is_other(error, pointer) for error in branch)]
    if len(meant) == 1:
        for error in meant[0]:
            yield from explain(error)
    elif branches and any(not branch for branch in branches):
        yield pointer, "fits more than one of the allowed forms"
    else:
        yield pointer, "is of none of the allowed forms"


def _is_other(error: "ValidationError", pointer: tuple[str | int, ...]) -> bool:
    """Say whether an error shows that another form was meant: the type of the value itself, or a tag in it."""
    depth = len(error.instance_path) - len(pointer)
    name: str = error.kind.name
    return (name == "type" and depth == 0) or (name in {"const", "enum"} and depth <= 1)


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _bound(schema: dict[str, Any]) -> None:
    """Give whole numbers of a width their limits."""
    width = schema.get("format")
    if not isinstance(width, str) or width not in _BOUNDS:
        return
    low, high = _BOUNDS[width]
    if not isinstance(schema.get("minimum"), int | float) or schema["minimum"] < low:
        schema["minimum"] = low
    if not isinstance(schema.get("maximum"), int | float) or schema["maximum"] > high:
        schema["maximum"] = high


def _from_30(schema: dict[str, Any]) -> dict[str, Any]:
    """Translate the keywords in which OpenAPI 3.0 differs from JSON Schema."""
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool):
            is_exclusive = schema.pop(exclusive)
            if is_exclusive and limit in schema:
                schema[exclusive] = schema.pop(limit)
    if schema.pop("nullable", False) is not True:
        return schema
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    elif any(keyword in schema for keyword in ("allOf", "anyOf", "oneOf")):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_FORMATS = {"byte": _is_base64, "base64url": lambda text: _BASE64URL.fullmatch(text) is not None}
