"""The settings of the job engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from carboy.config import Duration, Profile, setting
from carboy.errors import Fault
from carboy.redact import Secret


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """The job engine: concurrency, leases and retention."""

    jobs_engine: Literal["embedded", "celery", "sqs"] = setting(
        "embedded", "what runs the jobs: this process or a broker"
    )
    jobs_broker_url: Secret | None = setting(None, "the broker of `celery`, or the queue's URL of `sqs`")
    jobs_queue: str = setting("carboy", "the queue's name at the broker; each service that shares a broker has its own")
    jobs_sweep_s: float = setting(
        15.0, "how long a job may be due without being taken before it is published again", unit="s", least=0.1
    )
    jobs_concurrency: int = setting(8, "jobs at the same time per process; 0 for none here", least=0)
    jobs_lease_s: float = setting(
        60.0, "how long a lease lasts without renewal; then another worker may take the job", unit="s", least=0.1
    )
    jobs_retention: Duration = setting(Duration("7d"), "how long finished jobs are kept; dead ones are kept forever")
    jobs_poll_s: float = setting(1.0, "how often the table is polled without a notification", unit="s", least=0.01)
    jobs_drain_s: float = setting(20.0, "how long a stopping process waits for running jobs", unit="s")

    def faults(self, _profile: Profile) -> Iterator[Fault]:
        """Yield the faults of these settings."""
        if self.jobs_engine == "sqs" and not self.jobs_broker_url:
            yield Fault("JOBS_BROKER_URL", "with the engine `sqs` it is the queue's URL: set it")
