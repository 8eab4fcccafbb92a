"""The merged, resolved, typed settings of a running program, and where each came from."""

import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from carboy.config.declarations import Setting
from carboy.config.profile import Profile
from carboy.config.secret_references import Reference
from carboy.config.values import render
from carboy.redact import MASK, Secret, is_secret_name, mask, mask_url

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Entry:
    """One merged setting.

    Attributes:
        name: the flat name.
        value: the typed value; secrets as `Secret` or text, so never print it: print `shown`.
        layer: the layer of its value, with `via <reference>` where it was looked up.
        hides: the layers below that have it too.
        setting: its declaration; None for a name that no part declares.
    """

    name: str
    value: Any = field(repr=False)
    layer: str
    hides: tuple[str, ...] = ()
    setting: Setting | None = None

    @property
    def is_secret(self) -> bool:
        """Whether the value is masked when it is shown."""
        return self.setting.is_secret if self.setting else is_secret_name(self.name)

    @property
    def shown(self) -> Any:
        """The value as plain data that may be printed: secrets masked, also inside tables."""
        if self.value is None or _plain(self.value) == "":
            return _plain(self.value)  # a secret that is not set is not masked
        if self.is_secret and not (self.setting and self.setting.is_table):
            return _shown_secret(self.value)
        return mask(render(self.value))  # a value of an innocent name may come from a vault


class Settings:
    """The settings of every part.

    `part(WebSettings)` gives a part's own typed dataclass; `settings["NAME"]` one value; `flat()` all of them for
    `app.config`; `live("NAME")` the newest value, where settings change while the process runs.

    Attributes:
        profile: the service's profile.
        warnings: names that look like misspelt settings, and what `ignored` has.
        ignored: variables of the environment that are not valid, and may mean something else to the application.
        references: those that were followed.
    """

    def __init__(self, profile: Profile, entries: Mapping[str, Entry], parts: Mapping[type, Any]) -> None:
        self.profile = profile
        self.warnings: tuple[str, ...] = ()
        self.ignored: tuple[str, ...] = ()
        self.references: frozenset[Reference] = frozenset()
        self._newest: Callable[[str], Any] = self.__getitem__
        self._entries = dict(entries)
        self._parts = dict(parts)

    def part(self, kind: type[P]) -> P:
        """Return the typed settings of a part; `KeyError` when it was not loaded."""
        return typing.cast("P", self._parts[kind])

    def __getitem__(self, name: str) -> Any:
        return _plain(self._entries[name].value)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def live(self, name: str) -> Any:
        """Return the newest value of a setting, the same throughout a request; `KeyError` for an unknown name."""
        return self._newest(name)

    def follow(self, newest: Callable[[str], Any]) -> None:
        """Make `live` read from this function."""
        self._newest = newest

    def entry(self, name: str) -> Entry | None:
        """Return a setting with its origin; None for an unknown name."""
        return self._entries.get(name)

    def flat(self) -> dict[str, Any]:
        """Return every value by flat name, secrets as text: what `app.config` holds."""
        return {name: _plain(entry.value) for name, entry in self._entries.items()}


def _shown_secret(value: Any) -> str:
    """Return a mask; of the address of a database or broker the password alone is masked."""
    text = str(_plain(value))
    scheme, colon, _ = text.partition("://")
    if not colon or not scheme.isascii() or scheme.startswith("http"):
        return MASK
    return mask_url(re.sub(r"(?s)(?<=://)([^:/@]*):[^@]*@", rf"\1:{MASK}@", text, count=1))


def _plain(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value
