"""Definitions of jobs, and the outcome of a failed try."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

from carboy.db.group_commit import Apply
from carboy.errors import CarboyError, ConfigurationError, Throttled
from carboy.logs import BoundLogger, get_logger
from carboy.retry import Failure, GiveUp, Retry, next_step

log: BoundLogger = get_logger("carboy.jobs")

A = ParamSpec("A")


@dataclass(frozen=True)
class Job(Generic[A]):
    """A function that is run by rows of its kind; calling it runs it here and now.

    Attributes:
        kind: the name in the row; stable across releases, as rows outlive them.
        function: what is run, with arguments that JSON can hold.
        attempts: tries in all; after the last the row is `dead`. None for a job that is retried for ever.
        backoff_s: the base and the cap of the full-jitter wait between tries.
        timeout_s: after this the lease is no longer renewed, so that another worker takes the row.
        priority: the lower runs first; 5 is usual.
    """

    kind: str
    function: Callable[A, Any]
    attempts: int | None = 10
    backoff_s: tuple[float, float] = (1.0, 300.0)
    timeout_s: float = 300.0
    priority: int = 5

    def __call__(self, *args: A.args, **kwargs: A.kwargs) -> Any:
        """Run the function here and now."""
        return self.function(*args, **kwargs)


def job(
    kind: str,
    *,
    attempts: int | None = 10,
    backoff: tuple[float, float] = (1.0, 300.0),
    timeout_s: float = 300.0,
    priority: int = 5,
) -> Callable[[Callable[A, Any]], Job[A]]:
    """Make a job of a function; see `Job` for the arguments.

    @job("mail.welcome", attempts=5)
    def send_welcome(address: str) -> None: ...
    """
    return lambda function: Job(kind, function, attempts, backoff, timeout_s, priority)


class Registry:
    """The jobs that a process knows, by kind.

    Attributes:
        at_stop: functions that end what jobs have left running, called with the seconds that are left when a process
            of the engine `embedded` or `celery` stops; they do not raise.
    """

    def __init__(self, jobs: Sequence[Job[...]] = ()) -> None:
        self.at_stop: list[Callable[[float], None]] = []
        self._jobs: dict[str, Job[...]] = {}
        for one in jobs:
            self.add(one)

    def add(self, one: Job[...]) -> None:
        """Add a job.

        Raises:
            ConfigurationError: another job has that kind.
        """
        known = self._jobs.setdefault(one.kind, one)
        if known is not one:
            raise ConfigurationError(
                f"job `{one.kind}` is defined twice", "two functions have it", "rename one of them"
            )

    def get(self, kind: str) -> Job[...]:
        """Return the job of a kind; raise `KeyError` for an unknown kind."""
        return self._jobs[kind]

    def stop(self, patience_s: float) -> None:
        """Call the functions of `at_stop`."""
        deadline_s = time.monotonic() + patience_s
        for end in self.at_stop:
            end(max(0.0, deadline_s - time.monotonic()))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds, sorted."""
        return tuple(sorted(self._jobs))

    @property
    def priorities(self) -> tuple[int, ...]:
        """The priorities in use, the first to run first."""
        return tuple(sorted({one.priority for one in self._jobs.values()}))


class Later(CarboyError):
    """Raised by a job that cannot go on now and says when; it does not count as a try.

    Attributes:
        after_s: how long to wait.
    """

    def __init__(self, why: str, after_s: float) -> None:
        super().__init__("the job waits", why, "")
        self.after_s = after_s
        self.args: tuple[Any, ...] = (why, after_s)


class Abandon(CarboyError):
    """Raised by a job that can never succeed: the row is `dead` at once, with this reason."""

    def __init__(self, why: str) -> None:
        super().__init__("the job was given up", why, "fix the cause, then `carboy jobs retry`")
        self.args: tuple[Any, ...] = (why,)


@dataclass(frozen=True, slots=True)
class Commit:
    """Returned by a job whose last write belongs in the transaction that marks it done.

    Attributes:
        apply: writes the items of many jobs; see `carboy.db.GroupCommit`.
        item: this job's.
        then: called once that is committed, in the thread that ran the job; it must not raise.
    """

    apply: Apply[Any, Any]
    item: Any
    then: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The job did its work."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The job runs again at `run_at_ms`; `counts` is whether this run used up an attempt."""

    run_at_ms: int
    error: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Dead:
    """The job is kept with its error until an operator retries it."""

    error: str


Outcome = Done | Queued | Dead


def plan_failure(one: Job[...], attempt: int, error: BaseException, now_ms: int) -> Queued | Dead:
    """Return the outcome of a job whose try number `attempt` (from 1) ended in this error."""
    hint = error.hint if isinstance(error, CarboyError) and not isinstance(error, Abandon | Later) else ""
    text = f"{type(error).__name__}: {error}{f' (hint: {hint})' if hint else ''}"[:2000]
    if isinstance(error, Later):
        return Queued(now_ms + round(error.after_s * 1000), text, counts=False)
    attempts = sys.maxsize if one.attempts is None else one.attempts
    policy = Retry(attempts=attempts, base_s=one.backoff_s[0], cap_s=one.backoff_s[1])
    wanted_s = error.retry_after_s if isinstance(error, Throttled) else 0.0
    step = next_step(policy, attempt, Failure(not isinstance(error, Abandon), wanted_s), 0.0)
    return Dead(text) if isinstance(step, GiveUp) else Queued(now_ms + round(step.seconds * 1000), text)


def log_failure(outcome: Queued | Dead, attempt: int, error: BaseException) -> None:
    """Log how a failed try ended; an error that is not Carboy's own with its stack."""
    is_known = isinstance(error, CarboyError)
    facts: dict[str, Any] = {"error": str(error), "attempt": attempt}
    if isinstance(error, CarboyError) and error.hint:
        facts["hint"] = error.hint
    if isinstance(outcome, Dead):
        log.error("job_dead", **facts, exc_info=not is_known)
    elif isinstance(error, Later):
        log.debug("job_waits", **facts)
    else:
        log.info("job_postponed", **facts, exc_info=not is_known)
