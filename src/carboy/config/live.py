"""Live settings: reload, check and swap them while the process runs."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from blinker import NamedSignal, Namespace

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config.settings import Settings
from carboy.errors import CarboyError

settings_changed: NamedSignal = Namespace().signal("settings-changed")
"""Sent by the settings with `added`, `changed` and `removed`, each a frozenset of names, after they were swapped."""


class Changes(NamedTuple):
    """What a refresh changed, by name.

    Attributes:
        refused: why nothing was changed; None where the new settings are valid.
    """

    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    refused: CarboyError | None = None

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class Live:
    """The newest valid settings.

    Args:
        first: the settings of the start.
        reload: reads all layers again and returns checked settings.
        ttl_s: how long they are fresh; then the next read reloads them in the background. None to reload on request
            only.
        min_interval_s: the least time between two reloads.
        pin: takes the newest settings and returns those that the current request uses already.
        on_refused: called with the error of invalid reloaded settings; the last valid ones stay.
        clock: measures their age.
    """

    def __init__(
        self,
        first: Settings,
        reload: Callable[[], Settings],
        *,
        ttl_s: float | None = None,
        min_interval_s: float = 5.0,
        pin: Callable[[Settings], Settings] = lambda newest: newest,
        on_refused: Callable[[CarboyError], object] = lambda _: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.newest: Settings = first
        self._first, self._reload, self._pin, self._on_refused = first, reload, pin, on_refused
        self._ttl_s, self._min_interval_s = ttl_s, min_interval_s
        self._now = time.monotonic if clock is SYSTEM_CLOCK else clock.monotonic_s
        self._read_at = self._now()
        self._is_asked = False
        self._begin()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(itself()))
        first.follow(self.get)

    def get(self, name: str) -> Any:
        """Return the newest value of a setting.

        Raises:
            KeyError: no setting has that name.
        """
        return self.current()[name]

    def current(self) -> Settings:
        """Return the newest settings; stale ones are reloaded in the background."""
        if self._ttl_s is not None and self._now() - self._read_at >= self._ttl_s:
            self.ask()
        return self._pin(self.newest)

    def ask(self) -> None:
        """Reload the settings in the background, unless a reload runs or ended just now."""
        with self._guard:
            if self._is_asked or self._now() - self._read_at < self._min_interval_s:
                return
            self._is_asked = True
        threading.Thread(target=self._refresh_then_rest, name="carboy-settings", daemon=True).start()

    def refresh(self) -> Changes:
        """Reload the settings now and swap them; invalid ones are refused, and the last valid ones stay."""
        with self._refreshing:
            self._read_at = self._now()
            try:
                newer = self._reload()
            except CarboyError as error:
                self._on_refused(error)
                return Changes(refused=error)
            before, after = self.newest.flat(), newer.flat()
            changes = Changes(
                added=frozenset(after.keys() - before.keys()),
                changed=frozenset(name for name in after.keys() & before.keys() if after[name] != before[name]),
                removed=frozenset(before.keys() - after.keys()),
            )
            self.newest = newer
        if changes:
            settings_changed.send(self._first, added=changes.added, changed=changes.changed, removed=changes.removed)
        return changes

    def _refresh_then_rest(self) -> None:
        try:
            self.refresh()
        finally:
            self._is_asked = False

    def _begin(self) -> None:
        self._guard, self._refreshing = threading.Lock(), threading.Lock()
        self._is_asked = False


def _begin_again(live: Live | None) -> None:
    if live is not None:
        live._begin()
