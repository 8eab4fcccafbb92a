"""Declare settings: a part's typed dataclass is the one place that knows its names, types, defaults and meaning.

    @dataclass(frozen=True, slots=True)
    class StoreSettings:
        archive_url: str = setting("memory://", "where objects go")
        archive_timeout_s: float = setting(30.0, "how long a put may take", unit="s")

From these come the checks, `carboy settings show`, the reference page and `.env.example`.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from carboy.redact import Secret


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
"""The default of a setting that must be given."""


class Derived(NamedTuple):
    """A default that follows from other settings.

    Attributes:
        make: gets a look-up by setting name (`get("INSTANCE_PATH")`) and returns the value.
        text: the default as the reference shows it, such as `sqlite:///<instance>/carboy.db`.
    """

    make: Callable[[Callable[[str], Any]], Any]
    text: str


class Setting(NamedTuple):
    """One declared setting.

    Attributes:
        name: the flat name, upper case.
        field: the attribute of the part's dataclass.
        part: the part's name, for the reference.
        kind: the type that a value is converted to.
        default: a value, `REQUIRED` or a `Derived`.
        help: what it is for, one sentence without a full stop.
        unit: `s`, `bytes`, …; empty where it has none.
        is_secret: shown masked everywhere and taken as raw text.
        is_table: a table of `carboy.toml` (`[sms.templates.captcha]`), merged key by key across layers.
        place: makes a relative path inside the value start at the project's folder; None without one.
        least: the smallest value of a number; None without a limit.
        most: the largest value of a number; None without a limit.
    """

    name: str
    field: str
    part: str
    kind: Any
    default: Any
    help: str
    unit: str
    is_secret: bool
    is_table: bool
    place: Callable[[Any, Path], Any] | None = None
    least: float | None = None
    most: float | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the possible values as text; empty where the type is not a `Literal`."""
        kinds = (self.kind, *typing.get_args(self.kind))  # `Literal[…] | None` has it inside
        found = next((one for one in kinds if typing.get_origin(one) is typing.Literal), None)
        return tuple(map(str, typing.get_args(found)))

    def check_range(self, value: Any) -> None:
        """Check that a number is within the limits of this setting.

        Raises:
            ValueError: it is not.
        """
        least, most = self.least, self.most
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        if (least is None or value >= least) and (most is None or value <= most):
            return
        if least is not None and most is not None:
            raise ValueError(f"it must be from {least:g} to {most:g}")
        raise ValueError(f"it must be at {f'least {least:g}' if most is None else f'most {most:g}'}")


def setting(
    default: Any,
    help: str,  # noqa: A002
    *,
    unit: str = "",
    secret: bool = False,
    place: Callable[[Any, Path], Any] | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Return a dataclass field that declares a setting.

    Args:
        default: the value where no layer gives one; `REQUIRED`, or a `Derived` from other settings.
        help: what it is for, one sentence without a full stop.
        unit: the unit of the value, such as `s` or `bytes`.
        secret: whether it is masked wherever it is shown, and left out of the part's `repr`; implied by the type
            `Secret`, which masks itself.
        place: gets a value and the project's folder, and returns the value with its path starting there, where it is
            one inside of something else (a URL); what is a `Path` is placed by itself.
        least: the smallest value of a number; 0 where it has a unit.
        most: the largest value of a number.
    """
    least = 0 if least is None and unit else least
    meta = {"setting": (default, help, unit, secret, place, least, most)}
    if default is REQUIRED or isinstance(default, Derived):
        return field(metadata=meta, kw_only=True, repr=not secret)
    if isinstance(default, dict | list):
        return field(default_factory=lambda: default, metadata=meta, kw_only=True, repr=not secret)
    return field(default=default, metadata=meta, kw_only=True, repr=not secret)


@lru_cache(maxsize=64)
def settings_of(part: type) -> tuple[Setting, ...]:
    """Return the settings that a part's dataclass declares, in its order."""
    hints = typing.get_type_hints(part)
    found = []
    for item in dataclasses.fields(part):
        default, text, unit, secret, place, least, most = item.metadata["setting"]
        kind = hints[item.name]
        found.append(
            Setting(
                name=item.name.upper(),
                field=item.name,
                part=part.__name__.removesuffix("Settings").lower(),
                kind=kind,
                default=default,
                help=text,
                unit=unit,
                is_secret=secret or _mentions(kind, Secret),
                is_table=typing.get_origin(without_none(kind)) in {dict, Mapping},
                place=place,
                least=least,
                most=most,
            )
        )
    return tuple(found)


def without_none(kind: Any) -> Any:
    """Return a type that may be None as it is otherwise."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        rest = [one for one in typing.get_args(kind) if one is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _mentions(kind: Any, wanted: type) -> bool:
    return kind is wanted or any(_mentions(one, wanted) for one in typing.get_args(kind))
