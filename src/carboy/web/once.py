"""Make each thing once, when it is first asked for."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Makes each thing once, when it is first asked for, whatever the number of threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return what was made under a name; None where nothing was yet."""
        return self._made.get(name)

    def __call__(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` makes, of which every thread gets the same."""
        found: T | None = self._made.get(name)
        if found is None:
            with self._lock:
                found = self._made.get(name)
                if found is None:
                    found = self._made[name] = make()
        return found
