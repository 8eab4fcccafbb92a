"""Compile the schemas of a document, each once, and describe what a value breaks.

The dialect of OpenAPI 3.0 is translated to JSON Schema 2020-12 first. `readOnly` and `writeOnly` make two schemas of
one: a request may not hold what is read only, a response not what is write only.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from carboy.api.walk import deref, map_children, walk
from carboy.errors import Fault
from carboy.extras import extra
from carboy.http_values import parse_pointer, render_pointer

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

__all__ = ["MAX_FAULTS", "Check", "Direction", "Schemas", "explain"]

Direction = Literal["request", "answer"]

MAX_FAULTS = 1000  # a small body can break a rule a million times: an answer stays of a sane size

_COMPONENT = "#/components/schemas/"
_HIDDEN = {"request": "readOnly", "answer": "writeOnly"}
_BOUNDS = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "double-int": (-(2**53) + 1, 2**53 - 1),
}
_IN_PLACE = ("allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas")  # they apply to the same value
_NOTHING: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
_NAMES = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"})
_MAX_HIDING = 8  # references and parts between a property and its `readOnly`
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
        self._resources = [
            name for name, schema in self._components.items() if isinstance(schema, dict) and "$id" in schema
        ]
        self._checks: dict[tuple[str, Direction], Check] = {}
        self._translated: dict[tuple[_Variant, Direction], tuple[Any, frozenset[_Variant]]] = {}
        self._gathered: dict[tuple[int, Direction], tuple[frozenset[str], frozenset[str]]] = {}

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
        return _validator(self.translate(schema, direction))

    def translate(self, schema: Any, direction: Direction) -> Any:
        """Return a schema of JSON Schema 2020-12 that holds every component it needs."""
        needed: set[_Variant] = set()
        translated = self._translate(schema, direction, needed)
        if not needed:
            return translated
        shared: dict[str, Any] = {}
        pending = list(needed)
        while pending:
            variant = pending.pop()
            key = variant.key
            if key not in shared:
                shared[key], more = self._component(variant, direction)
                pending += more
        if "$defs" in translated or "$id" in translated:
            return {"$defs": {**shared, "": translated}, "$ref": "#/$defs/"}
        return {**translated, "$defs": shared}

    def translate_alone(self, schema: Any) -> Any:
        """Return a schema of JSON Schema 2020-12 without the components it needs."""
        return self._translate(schema, "request", set())

    def check_compiles(self, schema: Any, alone: Any) -> None:
        """Compile a schema without the components that it refers to; with them where it has names of its own.

        Raises:
            ValueError: it cannot be compiled.
        """
        if _has_names(alone):
            self.validator(schema, "request")
        else:
            _validator(_without_references(alone))

    def is_plain(self, schema: Any) -> bool:
        """Say whether a schema has no rule but its type, so that a value that was read as that type keeps it."""
        if not isinstance(schema, dict) or not schema.keys() <= _NO_RULES:
            return False
        return isinstance(schema.get("type"), str) and schema["type"] not in {"array", "object"}

    def _component(self, variant: "_Variant", direction: Direction) -> tuple[Any, frozenset["_Variant"]]:
        key = variant, direction
        if key not in self._translated:
            needed: set[_Variant] = set()
            translated = self._translate(self._components[variant.name], direction, needed, variant.hidden)
            self._translated[key] = translated, frozenset(needed)
        return self._translated[key]

    def _translate(
        self, schema: Any, direction: Direction, needed: set["_Variant"], hidden: frozenset[str] = frozenset()
    ) -> Any:
        """Translate a schema and note the components it needs.

        Args:
            schema: as in the document.
            direction: which of `readOnly` and `writeOnly` counts.
            needed: gets the components that it refers to.
            hidden: properties of the same value that another part hides; they are not required here.
        """
        if not isinstance(schema, dict):
            return schema
        if "$id" in schema:
            needed.update(_Variant(name) for name in self._resources)
            return schema
        hidden |= self._gather(schema, direction, set())[0][0]

        def change(pointer: tuple[str, ...], _kind: str, value: Any) -> Any:
            same = hidden if pointer[0] in _IN_PLACE else frozenset[str]()
            return self._translate(value, direction, needed, same)

        result = map_children("schema", schema, change)
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(_COMPONENT):
            name, *rest = parse_pointer(reference[1:], is_fragment=True)[2:]
            variant = _Variant(name) if rest or not hidden else self._variant(name, direction, hidden)
            needed.add(variant)
            result["$ref"] = "#" + quote(render_pointer(["$defs", variant.key, *rest]))
            if self._is_30:
                return {"$ref": result["$ref"]}
        self._hide(result, hidden)
        _bound(result)
        return _from_30(result) if self._is_30 else result

    def _variant(self, name: str, direction: Direction, hidden: frozenset[str]) -> "_Variant":
        own, required = self._gather(self._components[name], direction, set())[0]
        return _Variant(name, (hidden - own) & required)

    def _hide(self, schema: dict[str, Any], hidden: frozenset[str]) -> None:
        """Refuse the properties that are not for this direction, and do not require them."""
        properties, required = schema.get("properties"), schema.get("required")
        if hidden and isinstance(properties, dict):
            own = dict.fromkeys((name for name in properties if name in hidden), False)
            schema["properties"] = {**properties, **own}
        if hidden and isinstance(required, list):
            schema["required"] = [name for name in required if name not in hidden]

    def _gather(
        self, schema: Any, direction: Direction, seen: set[int]
    ) -> tuple[tuple[frozenset[str], frozenset[str]], bool]:
        """Return the properties that a schema and its parts hide and require, and whether no circle was cut."""
        key = id(schema), direction
        if not isinstance(schema, dict):
            return _NOTHING, True
        if key in self._gathered or id(schema) in seen:
            return self._gathered.get(key, _NOTHING), key in self._gathered
        is_first, is_whole = not seen, True
        seen.add(id(schema))
        properties, required = schema.get("properties"), schema.get("required")
        hidden = {
            name
            for name, below in (properties.items() if isinstance(properties, dict) else ())
            if self._is_hidden(below, _HIDDEN[direction])
        }
        names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set[str]()
        for part in self._parts(schema):
            (more_hidden, more_names), whole = self._gather(part, direction, seen)
            hidden |= more_hidden
            names |= more_names
            is_whole &= whole
        result = frozenset(hidden), frozenset(names)
        if is_whole or is_first:
            self._gathered[key] = result
        return result, is_whole

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the schemas that apply to the same value as a schema does."""
        if isinstance(schema.get("$ref"), str):
            with suppress(KeyError, ValueError):
                yield deref(self._content, schema)
        for keyword in _IN_PLACE:
            value = schema.get(keyword)
            if isinstance(value, list):
                yield from value
            elif isinstance(value, dict):
                yield from value.values() if keyword == "dependentSchemas" else (value,)

    def _is_hidden(self, schema: Any, keyword: str, depth: int = 0) -> bool:
        if not isinstance(schema, dict) or depth > _MAX_HIDING:
            return False
        if schema.get(keyword) is True:
            return True
        with suppress(KeyError, ValueError):
            found = deref(self._content, schema)
            if found is not schema:
                return self._is_hidden(found, keyword, depth + 1)
        parts = schema.get("allOf")
        return isinstance(parts, list) and any(self._is_hidden(part, keyword, depth + 1) for part in parts)


class _Variant(NamedTuple):
    """A component, and the properties that it does not require because another part of the whole hides them."""

    name: str
    hidden: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Its name among the definitions."""
        return self.name if not self.hidden else "?".join([self.name, *sorted(self.hidden)])


def _validator(schema: Any) -> "Validator":
    with extra("api"):
        from jsonschema_rs import Draft202012Validator, ReferencingError
    try:
        return Draft202012Validator(schema, mask="this", validate_formats=True, formats=_FORMATS, offline=True)
    except (ReferencingError, KeyError) as error:
        raise ValueError(f"a reference leads nowhere: {error}") from error


def _has_names(schema: Any) -> bool:
    return any(not node.keys().isdisjoint(_NAMES) for _, _, node in walk("schema", schema))


def _without_references(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    result = map_children("schema", schema, lambda _pointer, _kind, value: _without_references(value))
    result.pop("$ref", None)
    return result


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
