"""Run the checks of `/readyz` within one time budget, and log each loss and return once."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from carboy.errors import CarboyError, Degraded
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger(__name__)

Check = Callable[[], None]
"""Returns when its part works, and raises when it does not; `Degraded` where requests are served all the same."""

_NONE: "Mapping[str, Check]" = MappingProxyType({})
_ARN = re.compile(r"\barn:[\w-]+:\S*[\w/]")  # it names accounts and users: the page is public
_MAX_WHY = 300


class Verdict(NamedTuple):
    """The result of a check.

    Attributes:
        is_ok: whether requests are served; also while the part is degraded.
        latency_ms: how long the check took.
        why: what is wrong, safe to show to anyone; the error itself is in the log.
        is_degraded: whether the part is unavailable and requests are served all the same.
        event: the name of the log line for this state; empty where all is well.
        facts: the facts of that line.
    """

    is_ok: bool
    latency_ms: float
    why: str = ""
    is_degraded: bool = False
    event: str = ""
    facts: Mapping[str, Any] = MappingProxyType({})


class _Run:
    __slots__ = ("is_done", "verdict")

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.verdict = Verdict(is_ok=False, latency_ms=0.0, why="it was stopped", event="check_failed")


class Checks:
    """Runs checks side by side, each in a thread of its own, within one time budget.

    A check that still runs from an earlier request is not started again, so that a part that hangs holds one thread.

    Args:
        checks: the checks by name, without whose parts no request can be served; the mapping may grow later.
        timeout_s: how long all of them together may take.
        context: entered around each check, such as `app.app_context`.
        dependencies: the checks of parts that requests can do without; their failure is degraded.
        report: called with the name of each check and whether its part works, after every run.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        timeout_s: float,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        dependencies: Mapping[str, Check] = _NONE,
        report: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._checks, self._dependencies = checks, dependencies
        self._timeout_s, self._context, self._report = timeout_s, context, report
        self._lock = threading.Lock()
        self._running: dict[str, _Run] = {}
        self._lost: dict[str, tuple[str, float]] = {}  # the event that was logged, and when
        self._latest: dict[str, tuple[float, Verdict]] = {}  # when it came out, monotonic seconds

    def run(self) -> dict[str, Verdict]:
        """Return the verdict of each check, after at most `timeout_s`."""
        deadline = time.monotonic() + self._timeout_s
        every = list(chain(self._checks.items(), self._dependencies.items()))
        runs = {name: self._start(name, check) for name, check in every}
        verdicts = {}
        for name, run in runs.items():
            is_done = run.is_done.wait(max(0.0, deadline - time.monotonic()))
            verdict = run.verdict if is_done else self._timed_out()
            if name in self._dependencies and name not in self._checks and not verdict.is_ok:
                verdict = verdict._replace(is_ok=True, is_degraded=True)
            verdicts[name] = verdict
            self._log_change(name, verdict)
        return verdicts

    def latest(self, wait_s: float, max_age_s: float) -> dict[str, Verdict | None]:
        """Return the newest verdict of each check, None for one that has none yet.

        A check whose verdict is older than `max_age_s` is started, and has `wait_s`; then its verdict of before counts.
        """
        now_s = time.monotonic()
        every = dict(chain(self._checks.items(), self._dependencies.items()))
        with self._lock:
            known = dict(self._latest)
        due = [name for name in every if name not in known or now_s - known[name][0] > max_age_s]
        for run in [self._start(name, every[name]) for name in due]:
            run.is_done.wait(max(0.0, now_s + wait_s - time.monotonic()))
        with self._lock:
            return {name: self._latest[name][1] if name in self._latest else None for name in every}

    def _start(self, name: str, check: Check) -> _Run:
        with self._lock:
            run = self._running.get(name)
            if run is None:
                run = self._running[name] = _Run()
                threading.Thread(target=self._work, args=(name, check, run), name=f"check-{name}", daemon=True).start()
            return run

    def _work(self, name: str, check: Check, run: _Run) -> None:
        started = time.perf_counter()
        verdict = run.verdict
        try:
            with self._context():
                check()
            verdict = Verdict(is_ok=True, latency_ms=0.0)
        except Exception as error:  # noqa: BLE001 (whatever it is: the part does not work)
            verdict = _verdict(error, is_dependency=name in self._dependencies)
        finally:
            run.verdict = verdict._replace(latency_ms=round((time.perf_counter() - started) * 1000, 1))
            with self._lock:
                del self._running[name]
                self._latest[name] = time.monotonic(), run.verdict
            run.is_done.set()

    def _timed_out(self) -> Verdict:
        why = f"no answer within {self._timeout_s:g} s"
        facts = {"timeout_s": self._timeout_s}
        return Verdict(is_ok=False, latency_ms=self._timeout_s * 1000, why=why, event="check_timed_out", facts=facts)

    def _log_change(self, name: str, verdict: Verdict) -> None:
        """Log a loss and a return, each once, whatever the number of requests in between."""
        if self._report is not None:
            self._report(name, not verdict.event)
        now_s = time.monotonic()
        with self._lock:
            before = self._lost.get(name)
            if verdict.event:
                self._lost[name] = verdict.event, before[1] if before else now_s
            else:
                self._lost.pop(name, None)
        if verdict.event and before is None:
            log.warning(verdict.event, check=name, alarm=True, **verdict.facts)
        elif before is not None and not verdict.event:
            log.info("check_recovered", check=name, after_s=round(now_s - before[1], 1))


def _verdict(error: Exception, *, is_dependency: bool) -> Verdict:
    """Return the verdict of a check that raised."""
    facts: dict[str, Any] = {"error": type(error).__name__, "why": str(error)}
    if isinstance(error, CarboyError) and error.hint:
        facts["hint"] = error.hint
    is_degraded = isinstance(error, Degraded)
    why = "it failed"
    if isinstance(error, CarboyError) and (is_degraded or is_dependency):
        why = _ARN.sub("arn:…", error.why)[:_MAX_WHY]
    return Verdict(is_degraded, 0.0, why, is_degraded, "check_degraded" if is_degraded else "check_failed", facts)
