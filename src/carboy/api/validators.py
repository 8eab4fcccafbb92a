"""Compile the schemas of a document, each once, and describe what a value breaks."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from carboy.api.schema_translation import Direction, SchemaTranslator
from carboy.api.walk import map_children, walk
from carboy.errors import Fault
from carboy.extras import extra
from carboy.http_values import render_pointer

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

MAX_FAULTS = 1000  # a small body can break a rule a million times: an answer stays of a sane size
_MAX_LISTED = 20  # values of an enumeration in one message

_NAMES = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"})
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


def add_faults(check: Check | None, value: Any, root: str, faults: list[Fault]) -> None:
    """Add what a check, if there is one, finds wrong with a value; see `Check.faults`."""
    if check is not None and not check.is_valid(value):
        faults += check.faults(value, root)


class Schemas:
    """The schemas of one document."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._dialect = SchemaTranslator(content)
        self._checks: dict[tuple[str, Direction], Check] = {}

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
        return compile_schema(self._dialect.translate(schema, direction))

    def translate_alone(self, schema: Any) -> Any:
        """Return a schema of JSON Schema 2020-12 without the components it needs."""
        return self._dialect.translate_alone(schema)

    def check_compiles(self, schema: Any, alone: Any) -> None:
        """Compile a schema without the components that it refers to; with them where it has names of its own.

        Raises:
            ValueError: it cannot be compiled.
        """
        if _has_names(alone):
            self.validator(schema, "request")
        else:
            compile_schema(_without_references(alone))

    def is_plain(self, schema: Any) -> bool:
        """Say whether a schema has no rule but its type, so that a value that was read as that type keeps it."""
        if not isinstance(schema, dict) or not schema.keys() <= _NO_RULES:
            return False
        return isinstance(schema.get("type"), str) and schema["type"] not in {"array", "object"}


def compile_schema(schema: Any) -> "Validator":
    """Compile a schema of JSON Schema 2020-12.

    Raises:
        ValueError: it is not one, or refers to what is not there.
    """
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
        case "enum":
            listed = [json.dumps(one, ensure_ascii=False) for one in kind.options[:_MAX_LISTED]]
            more = len(kind.options) - len(listed)
            yield pointer, "is not one of " + _or([*listed, f"{more} others"] if more else listed)
        case "format":
            yield pointer, f"must be of the format `{kind.format}`"
        case _:
            yield pointer, error.message.removeprefix("this ")


def _explain_choice(
    pointer: tuple[str | int, ...], branches: Sequence[Sequence["ValidationError"]]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Explain the faults of the branch that was meant, if that is clear; else say that no branch fits."""
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
    return (name == "type" and depth == 0) or (name in {"const", "enum"} and depth == 1)


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_FORMATS = {"byte": _is_base64, "base64url": lambda text: _BASE64URL.fullmatch(text) is not None}
