"""Pass events of the queue, and of the schedule that sweeps, to the job engine `sqs`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from carboy.events import on_event
from carboy.extension import extension_of
from carboy.logs import BoundLogger, get_logger

if TYPE_CHECKING:
    from flask import Flask

    from carboy.jobs.sqs import SqsEngine
    from carboy.web.runtime import Jobs

log: BoundLogger = get_logger(__name__)


class QueueRunner:
    """Runs SQS batches that no function of the application handles."""

    def __init__(self, jobs: "Jobs") -> None:
        self._jobs = jobs

    def __call__(self, records: Sequence[Any]) -> list[str]:
        """Return the `messageId` of the records that are to come back."""
        return self.run_while(records, lambda: True)

    def run_while(self, records: Sequence[Any], is_time_left: Callable[[], bool]) -> list[str]:
        """Do the same while there is time; records that were not begun come back."""
        engine = cast("SqsEngine | None", self._jobs.engine)
        if engine is None:
            log.error("sqs_batch_unexpected", count=len(records), hint="no module of MODULES brings a job")
            return [record["messageId"] for record in records]
        return engine.run(records, is_time_left)


def take_queue_events(app: "Flask", jobs: "Jobs") -> None:
    """Run the queue's batches, and sweep when the event `{"source": "carboy", "detail-type": "sweep"}` asks for it."""
    extension_of(app).on_sqs = QueueRunner(jobs)

    @on_event(app, "eventbridge", source="carboy", detail_type="sweep")
    def sweep(_event: Any) -> dict[str, int]:
        engine = cast("SqsEngine | None", jobs.engine)
        return {"sent": engine.sweep() if engine is not None else 0}
