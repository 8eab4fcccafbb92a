"""Translate the schemas of a document to JSON Schema 2020-12, for requests and for responses.

OpenAPI 3.0 has a dialect of its own. `readOnly` and `writeOnly` make two schemas of one: a request may not hold what
is read only, a response not what is write only, and neither is required there.

Source: OpenAPI 3.0.4, "Schema Object"; JSON Schema 2020-12.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from carboy.api.patterns import split_length, to_rust
from carboy.api.walk import deref, map_children
from carboy.http_values import parse_pointer, render_pointer

Direction = Literal["request", "answer"]

_COMPONENT = "#/components/schemas/"
_DEPTH_OF_COMPONENT = 3  # components, schemas, name
_HIDDEN = {"request": "readOnly", "answer": "writeOnly"}
_BOUNDS = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "double-int": (-(2**53) + 1, 2**53 - 1),
}
_IN_PLACE = ("allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas")  # they apply to the same value
_NOTHING: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
_CHOICES = ("oneOf", "anyOf")
_MAX_HIDING = 8  # references and parts between a property and its `readOnly`


class SchemaTranslator:
    """Translates the schemas of one document, each component once."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._is_30 = str(content.get("openapi", "")).startswith("3.0")
        self._components: Mapping[str, Any] = content.get("components", {}).get("schemas", {})
        self._resources = [
            name for name, schema in self._components.items() if isinstance(schema, dict) and "$id" in schema
        ]
        self._translated: dict[tuple[_Variant, Direction], tuple[Any, frozenset[_Variant]]] = {}
        self._gathered: dict[tuple[int, Direction], tuple[frozenset[str], frozenset[str]]] = {}
        self._choices: dict[str, frozenset[str]] = {}

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

    def _component(self, variant: "_Variant", direction: Direction) -> tuple[Any, frozenset["_Variant"]]:
        key = variant, direction
        if key not in self._translated:
            needed: set[_Variant] = set()
            schema = self._components[variant.name]
            if variant.is_chosen:
                schema = {keyword: value for keyword, value in schema.items() if keyword not in _CHOICES}
            translated = self._translate(schema, direction, needed, variant.hidden, variant.name)
            self._translated[key] = translated, frozenset(needed)
        return self._translated[key]

    def _translate(
        self,
        schema: Any,
        direction: Direction,
        needed: set["_Variant"],
        hidden: frozenset[str] = frozenset(),
        within: str = "",
    ) -> Any:
        """Translate a schema and note the components it needs.

        Args:
            schema: as in the document.
            direction: which of `readOnly` and `writeOnly` counts.
            needed: gets the components that it refers to.
            hidden: properties of the same value that another part hides; they are not required here.
            within: the component of the same value that this is a part of.
        """
        if not isinstance(schema, dict):
            return schema
        if "$id" in schema:
            needed.update(_Variant(name) for name in self._resources)
            return schema
        hidden |= self._gather(schema, direction, set())[0][0]

        def change(pointer: tuple[str, ...], _kind: str, value: Any) -> Any:
            if pointer[0] in _IN_PLACE and pointer[0] != "if":  # what it asks is no demand
                return self._translate(value, direction, needed, hidden, within)
            return self._translate(value, direction, needed)

        result = map_children("schema", schema, change)
        reference = schema.get("$ref")
        dynamic = schema.get("$dynamicRef")
        if reference is None and isinstance(dynamic, str) and dynamic.startswith(_COMPONENT):
            reference = result.pop("$dynamicRef")  # without an anchor it is a plain reference
        if isinstance(reference, str) and reference.startswith(_COMPONENT):
            name, *rest = parse_pointer(reference[1:], is_fragment=True)[2:]
            variant = _Variant(name) if rest else self._variant(name, direction, hidden, within)
            needed.add(variant)
            result["$ref"] = "#" + quote(render_pointer(["$defs", variant.key, *rest]))
            if self._is_30:
                return {"$ref": result["$ref"]}
        self._hide(result, hidden)
        _bound(result)
        if isinstance(schema.get("pattern"), str):
            _set_pattern(result, schema["pattern"])
        return _from_30(result) if self._is_30 else result

    def _variant(self, name: str, direction: Direction, hidden: frozenset[str], within: str) -> "_Variant":
        if hidden:
            own, required = self._gather(self._components[name], direction, set())[0]
            hidden = (hidden - own) & required
        return _Variant(name, hidden, bool(within) and within in self._choices_of(name))

    def _choices_of(self, name: str) -> frozenset[str]:
        """Return the components that a component lists as its choices."""
        if name not in self._choices:
            schema = self._components[name]
            parts = (
                [part for keyword in _CHOICES for part in schema.get(keyword, ())] if isinstance(schema, dict) else []
            )
            references = [part.get("$ref") for part in parts if isinstance(part, dict)]
            pointers = [parse_pointer(one[1:], is_fragment=True) for one in references if isinstance(one, str)]
            self._choices[name] = frozenset(pointer[2] for pointer in pointers if len(pointer) == _DEPTH_OF_COMPONENT)
        return self._choices[name]

    def _hide(self, schema: dict[str, Any], hidden: frozenset[str]) -> None:
        """Refuse the properties that are not for this direction, and do not require them."""
        properties, required = schema.get("properties"), schema.get("required")
        if hidden and isinstance(properties, dict):
            own = dict.fromkeys((name for name in properties if name in hidden), False)
            schema["properties"] = {**properties, **own}
        if hidden and isinstance(required, list):
            schema["required"] = [name for name in required if name not in hidden]
        dependent = schema.get("dependentRequired")
        if hidden and isinstance(dependent, dict):
            schema["dependentRequired"] = {
                name: [one for one in names if one not in hidden] for name, names in dependent.items()
            }

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
    """A component as it applies where it is referred to.

    Attributes:
        name: of the component.
        hidden: properties that it does not require, because another part of the whole hides them.
        is_chosen: one of its choices refers to it, so that it need not look for another: a parent that lists its
            children would be checked again for each of them.
    """

    name: str
    hidden: frozenset[str] = frozenset()
    is_chosen: bool = False

    @property
    def key(self) -> str:
        """Its name among the definitions."""
        return "?".join([self.name, *sorted(self.hidden), *(("|",) if self.is_chosen else ())])


def _set_pattern(schema: dict[str, Any], pattern: str) -> None:
    """Give a schema a pattern that the engine compiles; a long repetition becomes limits of the length."""
    repeated = split_length(pattern)
    if repeated is not None:
        pattern, least, most = repeated
        limits: dict[str, Any] = {"minLength": least} if most is None else {"minLength": least, "maxLength": most}
        schema["allOf"] = [*schema.get("allOf", ()), limits]
    schema["pattern"] = to_rust(pattern)


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
