"""Ask each part whether it can work, without ever waiting for one that hangs."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from carboy.errors import Degraded
from carboy.logs import BoundLogger, get_logger

__all__ = ["Checks", "Verdict"]

log: BoundLogger = get_logger(__name__)

Check = Callable[[], None]
"""Returns when its part can work and raises when it cannot; `Degraded` where it works, but not as it should."""


class Verdict(NamedTuple):
    """How a check ended; `why` is harmless to show: the error itself goes to the log.

    One that is degraded is ok as well: requests are answered.
    """

    is_ok: bool
    latency_ms: float
    why: str = ""
    is_degraded: bool = False


class _Run:
    __slots__ = ("is_done", "verdict")

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.verdict = Verdict(is_ok=False, latency_ms=0.0)


class Checks:
    """Runs checks side by side, each in a thread of its own with its own time.

    A check that still runs from an earlier question is not started again: its end is waited for, so that a part that
    hangs holds one thread, however often it is asked about.

    Args:
        checks: the checks by name; the mapping may grow later.
        timeout_s: how long each may take.
        context: entered around each check, such as `app.app_context`.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        timeout_s: float,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._checks, self._timeout_s, self._context = checks, timeout_s, context
        self._lock = threading.Lock()
        self._running: dict[str, _Run] = {}

    def run(self) -> dict[str, Verdict]:
        """Return how each check ended, after at most `timeout_s`."""
        deadline = time.monotonic() + self._timeout_s
        runs = {name: self._start(name, check) for name, check in list(self._checks.items())}
        verdicts = {}
        for name, run in runs.items():
            if run.is_done.wait(max(0.0, deadline - time.monotonic())):
                verdicts[name] = run.verdict
            else:
                why = f"it did not answer within {self._timeout_s:g} s"
                verdicts[name] = Verdict(is_ok=False, latency_ms=self._timeout_s * 1000, why=why)
                log.warning("check_timed_out", check=name, timeout_s=self._timeout_s)
        return verdicts

    def _start(self, name: str, check: Check) -> _Run:
        with self._lock:
            run = self._running.get(name)
            if run is None:
                run = self._running[name] = _Run()
                threading.Thread(target=self._work, args=(name, check, run), name=f"check-{name}", daemon=True).start()
            return run

    def _work(self, name: str, check: Check, run: _Run) -> None:
        started = time.perf_counter()
        why, is_degraded = "it was stopped", False
        try:
            with self._context():
                check()
            why = ""
        except Degraded as error:
            why, is_degraded = error.why, True
            log.warning("check_degraded", check=name, why=error.why)
        except Exception as error:  # noqa: BLE001 (whatever it is: the part cannot work)
            why = "it failed"
            log.warning("check_failed", check=name, error=type(error).__name__, why=str(error))
        finally:
            latency_ms = round((time.perf_counter() - started) * 1000, 1)
            run.verdict = Verdict(is_degraded or not why, latency_ms, why, is_degraded)
            with self._lock:
                del self._running[name]
            run.is_done.set()
