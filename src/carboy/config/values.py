"""Turn what a layer holds into the declared type: durations, rates, switches, lists, secrets, tables."""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.config.declarations import without_none
from carboy.redact import Secret, register_secret

if TYPE_CHECKING:
    import msgspec

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)?")
_RATE = re.compile(r"([0-9]+)\s*/\s*([0-9]+(?:\.[0-9]+)?)?\s*(ms|s|m|h|d|w)?")
_LEVELS = {"warn": "warning", "fatal": "critical"}  # the other names that `logging` has for two of its levels
_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


class Duration(float):
    """A length of time in seconds that remembers how it was written (`7d`)."""

    text: str

    def __new__(cls, text: str) -> typing.Self:
        """Return the length of time that the text says; see `parse_duration`."""
        made = super().__new__(cls, parse_duration(text))
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


class Rate:
    """At most `count` in any `period_s` seconds.

    No dataclass: msgspec would want an object where a setting says `2/s`.
    """

    __slots__ = ("count", "period_s")

    def __init__(self, count: int, period_s: float) -> None:
        self.count: int = count
        self.period_s: float = period_s

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rate):
            return NotImplemented
        return (self.count, self.period_s) == (other.count, other.period_s)

    def __hash__(self) -> int:
        return hash((self.count, self.period_s))

    def __repr__(self) -> str:
        return f"Rate({self.count}, {self.period_s:g})"

    def __str__(self) -> str:
        return f"{self.count}/{self.period_s:g}s"


def parse_duration(text: str) -> float:
    """Return the seconds of `90`, `1.5s`, `250ms`, `5m`, `2h`, `7d` or `1w`; a bare number is seconds.

    Raises:
        ValueError: it is written in another way.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("a length of time is a number with ms, s, m, h, d or w, such as 7d")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def parse_rate(text: str) -> Rate | None:
    """Return the rate of `6000/60s`, `2/s`, `5/h` or `10/day`; None for `off`.

    Raises:
        ValueError: it is written in another way, or allows nothing.
    """
    short = text.strip().lower()
    if short == "off":
        return None
    for word, unit in (("second", "s"), ("minute", "m"), ("hour", "h"), ("day", "d"), ("week", "w")):
        short = re.sub(rf"{word}s?$", unit, short)
    found = _RATE.fullmatch(short)
    if found is None or not (found[2] or found[3]):
        raise ValueError("a rate is a count and a time, such as 6000/60s or 2/s, or off")
    count, period_s = int(found[1]), float(found[2] or 1) * _UNITS_S[found[3] or "s"]
    if count < 1 or period_s <= 0:
        raise ValueError("a rate allows at least 1 in a time longer than 0; off lifts it")
    return Rate(count, period_s)


def convert(value: Any, kind: Any) -> Any:
    """Return a layer's value as the declared type.

    Text (from the environment, `.env`, a parameter) is read leniently: `8` for a number, `on` for a switch, commas
    or JSON for a list, JSON for a table. A `Secret` takes text only, exactly as it is.

    Raises:
        ValueError: the value cannot be read so; the message never repeats it.
    """
    whole, kind = kind, without_none(kind)
    optional = kind is not whole
    if value is None and optional:
        return None
    if isinstance(value, str):
        if optional and ((value == "" and kind is not str) or (kind is Rate and value.strip().lower() == "off")):
            return None
        value = _read_text(value, kind)
    if kind is Path or kind is Secret:
        return _decode(kind, value)
    if (usual := _read_usual(value, kind)) is not None:
        return _finite(usual)
    row = (typing.get_args(kind) or (None,))[-1]
    if typing.get_origin(kind) is dict and dataclasses.is_dataclass(row) and isinstance(value, Mapping):
        return _read_tables(value, row)
    import msgspec  # here, as it takes a while, and what is usual does without it

    try:
        return _finite(msgspec.convert(value, whole, strict=False, dec_hook=_decode))
    except msgspec.ValidationError as error:
        raise ValueError(_explain(error)) from None
    except (TypeError, RecursionError) as error:
        raise ValueError("it has the wrong type") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it is not a finite number")
    return value


def render(value: Any) -> Any:
    """Return a setting's value as plain data for printing: switches as on and off, secrets masked."""
    match value:
        case bool():
            return "on" if value else "off"
        case None | int() | str():
            return value
        case Duration() | Rate() | Secret() | Path():
            return str(value)
        case float():
            return value
        case Mapping():
            return {str(key): render(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [render(item) for item in value]
    import msgspec

    return render(msgspec.to_builtins(value, enc_hook=str))


def _read_text(text: str, kind: Any) -> Any:
    origin = typing.get_origin(kind) or kind
    if origin is bool:
        known = _SWITCH.get(text.strip().lower())
        if known is None:
            raise ValueError("it is neither on nor off")
        return known
    if origin in {dict, Mapping}:
        return _read_json(text, dict, "a table is written as a JSON object")
    if origin in {list, tuple, Sequence, frozenset, set}:
        if text.lstrip().startswith("["):
            return _read_json(text, list, "a list is written with commas, or as a JSON array")
        return [item.strip() for item in text.split(",") if item.strip()]
    if origin in {int, float}:
        return text.strip()
    if origin is typing.Literal:
        choices = {str(choice).lower(): choice for choice in typing.get_args(kind)}
        short = text.strip().lower()
        return choices.get(_LEVELS.get(short, short), text)
    return text


def _read_usual(value: Any, kind: Any) -> Any:
    """Return a value of a plain kind, written in the plainest way, as it is declared; None for all others."""
    if type(value) is kind and kind in {str, bool, int, float}:
        return value
    if type(value) is str and kind in {int, float} and value.isascii() and value.isdecimal():
        return kind(value) if value == str(int(value[:15])) else None
    if type(value) is str and typing.get_origin(kind) is typing.Literal:
        return value if value in typing.get_args(kind) else None
    if type(value) is list and kind == tuple[str, ...]:
        return tuple(value) if all(type(item) is str for item in value) else None
    return None


def _read_json(text: str, kind: type, hint: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError(hint) from None


def _read_tables(tables: Mapping[str, Any], row: Any) -> dict[str, Any]:
    made, faults = {}, []
    kinds = typing.get_type_hints(row)
    declared = dataclasses.fields(row)
    required = {one.name for one in declared if one.default is one.default_factory is dataclasses.MISSING}
    for name, table in tables.items():
        if isinstance(table, row):
            made[name] = table
        elif not isinstance(table, Mapping):
            faults.append(f"`{name}` must be a table")
        else:
            table = row.expand(table) if hasattr(row, "expand") else table  # noqa: PLW2901 (a preset's keys below its own)
            fields, wrong = _read_fields(table, kinds)
            needed = required - table.keys()
            faults += [f"`{name}.{key}` {what}" for key, what in [*wrong, *((key, "is needed") for key in needed)]]
            if not needed:
                made[name] = row(**fields)
    if faults:  # what the rows say of themselves, so that all is reported at once
        found = [(name, fault) for name, one in made.items() if hasattr(one, "faults") for fault in one.faults(name)]
        faults += [f"`{f'{name}.{fault.pointer}'.rstrip('.')}` {fault.detail}" for name, fault in found]
        raise ValueError("; ".join(faults))
    return made


def _read_fields(table: Mapping[str, Any], kinds: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    fields, wrong = {}, []
    for key, value in table.items():
        if key not in kinds:
            wrong.append((key, _unknown(key, kinds)))
            continue
        wrong += [(f"{key}.{name}", what) for name, what in _unknown_names(value, kinds[key])]
        try:
            fields[key] = convert(value, kinds[key])
        except ValueError as error:
            wrong.append((key, f"cannot be used: {error}"))
    return fields, wrong


def _unknown_names(value: Any, kind: Any) -> list[tuple[str, str]]:
    """Return the names in a table, or in a list of tables, that the dataclass among its types does not have."""
    kinds = {kind, *typing.get_args(kind), *(one for part in typing.get_args(kind) for one in typing.get_args(part))}
    shapes = [one for one in kinds if dataclasses.is_dataclass(one)]
    if len(shapes) != 1:
        return []
    known = [field.name for field in dataclasses.fields(shapes[0])]
    tables = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, Mapping)]
    return [(name, _unknown(name, known)) for one in tables for name in one if name not in known]


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"is unknown; did you mean `{near[0]}`?" if near else "is unknown"


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise ValueError("a secret is text: put it in quotes")
        register_secret(value)
        return Secret(value)
    if kind is Duration:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = format(Decimal(repr(value)), "f") if math.isfinite(value) else "nan"
        return value if isinstance(value, Duration) else Duration(_text(value))
    if kind is Rate:
        rate = value if isinstance(value, Rate) else parse_rate(_text(value))
        if rate is None:
            raise ValueError("off is not possible here")
        return rate
    if issubclass(kind, Path):
        return Path(value if isinstance(value, Path) else _text(value)).expanduser()
    raise ValueError(f"a {kind.__name__} cannot be given by a setting")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be text")
    return value


def _explain(error: "msgspec.ValidationError") -> str:
    text = str(error)
    text = re.sub(r"Expected `(?:int|float)(?: \| null)?`, got `str`", "it is not a valid number", text)
    text = re.sub(r"Expected `(?:int|float|bool|str)(?: \| null)?`, got `(\w+)`", r"it is of the type `\1`", text)
    text = re.sub(r"Invalid enum value .*?(?= - at|$)", "it is not one of the choices", text)
    return re.sub(r" - at `\$?\.?([^`]*)`", r", at `\1`", text)
