"""Helpers shared by the tests of `web`."""

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from flask import Flask

from carboy.testing.clock import ManualClock

numbers = itertools.count()


Register = Callable[[Flask], object]


class MakeApp(Protocol):
    """Makes an application whose only module has this `register` and other attributes."""

    def __call__(
        self,
        register: Register | None = None,
        *,
        profile: str = "test",
        clock: ManualClock | None = None,
        brings: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> Flask: ...


Adopt = Callable[..., Flask]
Lines = Callable[..., list[dict[str, Any]]]
