"""Remember that the database server is away, so that those who hold somebody up are told at once.

A command or a job may wait for a server that restarts; a request may not, as its client has long gone and its thread is
missing elsewhere. Whoever is fail_fast waits only shortly, and not at all while the server is known to be away, but for
one who looks every now and then whether it is back.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from carboy.clock import SYSTEM_CLOCK, Clock

__all__ = ["Circuit", "fail_fast", "is_hurried"]

_hurried: ContextVar[bool] = ContextVar("carboy_db_hurried", default=False)


@contextmanager
def fail_fast() -> Iterator[None]:
    """Have connects in this context wait for an absent server no longer than a request may."""
    token = _hurried.set(True)
    try:
        yield
    finally:
        _hurried.reset(token)


def is_hurried() -> bool:
    """Tell whether somebody waits for an answer: within `fail_fast`, and within every request of Flask."""
    if _hurried.get():
        return True
    flask = sys.modules.get("flask")  # who has not loaded it answers no request
    return flask is not None and bool(flask.has_request_context())


class Circuit:
    """Whether a server is known to be away.

    It takes no lock: of two threads that come in the same instant both may look, which does no harm.

    Args:
        probe_s: the least time between two looks at a server that is away.
        patience_s: how long one look may take; then another may begin.
        clock: tells the time.
    """

    def __init__(self, probe_s: float, patience_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._probe_s, self._patience_s, self._clock = probe_s, patience_s, clock
        self._away: Exception | None = None
        self._next_probe_at = 0.0

    @property
    def away(self) -> Exception | None:
        """Why the server was found away when it was asked last; None while it is there as far as one knows."""
        return self._away

    def ask(self) -> Literal["closed", "probe", "open"]:
        """Say whether to connect: as usual, once to see whether it is back, or not now."""
        if self._away is None:
            return "closed"
        now_s = self._clock.monotonic_s()
        if now_s < self._next_probe_at:
            return "open"
        self._next_probe_at = now_s + self._patience_s
        return "probe"

    def open(self, error: Exception) -> None:
        """Keep that the server is away."""
        self._next_probe_at, self._away = self._clock.monotonic_s() + self._probe_s, error

    def close(self) -> None:
        """Keep that the server has answered."""
        self._away = None
