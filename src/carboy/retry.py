"""Decide whether and when to try again; waiting and doing are left to the caller."""

from dataclasses import dataclass

from carboy.jitter import SYSTEM_RANDOM

__all__ = ["Failure", "GiveUp", "Retry", "Wait", "next_step"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently something is tried again.

    Attributes:
        attempts: tries in all, the first included; at least 1.
        base_s: the first wait's upper bound, doubled with each further attempt.
        cap_s: the upper bound of any wait of our own choosing.
        total_s: the budget for everything, waits included.
    """

    attempts: int = 3
    base_s: float = 0.1
    cap_s: float = 20.0
    total_s: float = float("inf")

    def backoff_s(self, attempt: int) -> float:
        """Return a wait after attempt `attempt` (from 1): full jitter up to the doubled base, at most the cap.

        Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        bound = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))
        return SYSTEM_RANDOM.uniform(0.0, bound)


@dataclass(frozen=True, slots=True)
class Failure:
    """What an attempt ended in."""

    is_transient: bool
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again, and why."""

    reason: str


def next_step(policy: Retry, attempt: int, failure: Failure, elapsed_s: float) -> Wait | GiveUp:
    """Say what to do after attempt number `attempt` (from 1) has failed."""
    if not failure.is_transient:
        return GiveUp("the failure is permanent")
    if attempt >= policy.attempts:
        return GiveUp(f"all {policy.attempts} attempts failed")
    wait_s = max(policy.backoff_s(attempt), failure.retry_after_s)
    if elapsed_s + wait_s > policy.total_s:
        return GiveUp(f"the budget of {policy.total_s:g} s is spent")
    return Wait(wait_s)
