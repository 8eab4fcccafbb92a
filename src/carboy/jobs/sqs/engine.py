"""The engine `sqs`: sends what is ready to the queue, and runs what Lambda brings back from it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Protocol

import orjson

from carboy.db.group_commit import GroupCommit
from carboy.errors import CarboyError, ConfigurationError, Degraded, Missing, UpstreamError, UsageError
from carboy.jobs.definitions import Commit, Dead, Job, Outcome, Queued, log_failure, plan_failure
from carboy.jobs.engine_registry import JobEngine, Ready
from carboy.jobs.settings import JobsSettings
from carboy.jobs.sqs.queue import MAX_DELAY_S, Outgoing, Queue, SqsQueue
from carboy.jobs.sqs.queue_messages import MAX_BYTES, CallMessage, RowMessage, parse_message, render_message
from carboy.logs import BoundLogger, get_logger, request_context, request_id

log: BoundLogger = get_logger("carboy.jobs")

Record = Mapping[str, Any]


class ClaimCheck(Protocol):
    """The store of arguments that are too long for a message."""

    def put(self, data: bytes) -> str:
        """Store bytes durably; return their name."""
        ...

    def get(self, name: str) -> bytes:
        """Return the bytes of a name; raise `Missing` for an unknown name."""
        ...

    def drop(self, name: str) -> None:
        """Delete the bytes of a name."""
        ...


@dataclass(eq=False, repr=False)
class SqsEngine(JobEngine):
    """Sends messages to SQS, and runs those that Lambda receives.

    With a database, messages name rows: `sweep` finds what is lost, a repeated message runs once, and a job that has
    used up its tries is `dead` in its row. Without one, messages are the work: one that has used up its tries goes to
    the queue's own dead-letter queue, and a job must be idempotent.

    Attributes:
        writer: the process's writer; None where there is no database.
        queue: by default that of `JOBS_BROKER_URL`.
        park: the store of arguments that are too long for a message; None where such are refused.
    """

    writer: GroupCommit | None  # type: ignore[assignment]  # the other engines need one
    _: KW_ONLY
    queue: Queue | None = None
    park: ClaimCheck | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._queue = self.queue or _queue_of(self.settings)

    @property
    def is_running(self) -> bool:
        """True: Lambda calls it whenever there is work."""
        return True

    def start(self) -> None:
        """Do nothing: Lambda calls `run`."""

    def stop(self, drain_s: float | None = None) -> bool:
        """Do nothing."""
        return True

    def notify(self, rows: Sequence[Ready]) -> None:
        """Send a message for each row; the next sweep finds rows that could not be sent."""
        now_ms = self.clock.now_ms()
        texts = [
            Outgoing(render_message(RowMessage(row.id, row.kind)), _delay_s(row.run_at_ms - now_ms)) for row in rows
        ]
        try:
            self._queue.send(texts)
        except CarboyError as error:
            log.warning("jobs_not_sent", count=len(rows), error=str(error), hint="the next sweep sends them")

    def check(self) -> None:
        """Check the queue; with a database rows are kept while it is unavailable."""
        try:
            self._queue.waiting()
        except UpstreamError as error:
            if self.writer is None:
                raise
            raise Degraded("the queue", error.why, error.hint) from error

    def send(self, job: Job[...], *calls: Sequence[Any]) -> None:
        """Send a job once for each list of arguments, without a database; when this returns, the queue has all.

        Raises:
            UpstreamError: the queue, or the store of long arguments, cannot be used; some calls may be done all the
                same, so that sending again does some twice.
            UsageError: arguments are too long for a message, and there is no store for them.
        """
        now_ms, asked_by = self.clock.now_ms(), request_id()
        messages = [self._fitting(CallMessage(job.kind, args, now_ms, asked_by)) for args in calls]
        self._queue.send([Outgoing(text) for text in messages])

    def run(self, records: Sequence[Record], is_time_left: Callable[[], bool] = lambda: True) -> list[str]:
        """Run the records of an SQS event; return the `messageId` of those that are to come back.

        Args:
            records: of the event.
            is_time_left: whether there is time to begin one more; the others come back.
        """

        def work(record: Record) -> bool:
            return is_time_left() and self._is_done(record)

        at_once = min(self.settings.jobs_concurrency, len(records))
        if at_once < 2:
            done = [work(record) for record in records]
        else:
            with ThreadPoolExecutor(at_once, thread_name_prefix="carboy-sqs") as pool:
                waiting = [pool.submit(copy_context().run, work, record) for record in records]
                done = [one.result() for one in waiting]
        return [record["messageId"] for record, is_done in zip(records, done, strict=True) if not is_done]

    def sweep(self) -> int:
        """Send overdue and orphaned rows again; return how many were sent.

        Raises:
            UpstreamError: the queue does not say how many messages it holds.
        """
        if self.writer is None:
            return 0
        from carboy.jobs.job_rows import prune
        from carboy.jobs.periodic import Lost, find_lost, requeue_orphaned

        now_ms = self.clock.now_ms()
        freed: list[Ready] = self.writer.run(requeue_orphaned, now_ms)
        request = Lost(self.registry.kinds, now_ms - round(self.settings.jobs_sweep_s * 1000))
        lost: tuple[Ready, ...] = self.writer.run(find_lost, (request, self._queue.waiting() + len(freed)))
        if freed or lost:
            log.warning("jobs_sent_again", freed=len(freed), lost=len(lost))
            self.notify([*freed, *lost])
        self.writer.run(prune, now_ms - round(float(self.settings.jobs_retention) * 1000))
        return len(freed) + len(lost)

    # --- one message ---

    def _is_done(self, record: Record) -> bool:
        """Run a message; return whether the queue may delete it."""
        try:
            message = parse_message(record["body"])
            job = self.registry.get(message.kind)
        except (CarboyError, KeyError) as error:
            log.error("sqs_message_unknown", message_id=record["messageId"], error=str(error))
            return False
        try:
            if isinstance(message, RowMessage):
                return self._do_row(record, message, job)
            return self._do_call(record, message, job)
        except Exception as error:  # noqa: BLE001 (of one message: the others of its batch go on)
            log.warning("sqs_message_failed", message_id=record["messageId"], kind=message.kind, error=str(error))
            return False

    def _do_row(self, record: Record, message: RowMessage, job: Job[...]) -> bool:
        from carboy.jobs.execution import Runner
        from carboy.jobs.job_rows import ClaimRequest, LeasedRow, claim

        if self.writer is None:
            raise ConfigurationError("a row cannot be run", "there is no database here", "set DATABASE_URL")
        owner = f"sqs:{secrets.token_hex(8)}"  # not `make_owner`: functions share host and process ids
        now_ms = self.clock.now_ms()
        lease_ms = round(max(self.settings.jobs_lease_s, job.timeout_s) * 1000)  # it is not renewed
        found = self.writer.run(claim, ClaimRequest(message.id, owner, now_ms, now_ms + lease_ms))
        if found is None:  # done, or leased by another, whose loss the sweep finds
            return True
        if not isinstance(found, LeasedRow):
            return self._send_later(message, found)
        outcome = Runner(self, is_stopping=lambda: True).run(found, owner)
        return self._is_over(record, message, outcome)

    def _do_call(self, record: Record, message: CallMessage, job: Job[...]) -> bool:
        attempt = message.tries + int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
        started_s = self.clock.monotonic_s()
        outcome: Outcome | None = None
        with request_context(request_id=message.request_id, job_id=record["messageId"], job=message.kind):
            try:
                args = self._args(message)
                if args is None:  # done before: its arguments are deleted
                    return True
                with self.context():
                    if isinstance(job.function(*args), Commit):
                        raise UsageError("the job cannot be settled", "it writes rows", "give it a database")
            except BaseException as error:  # noqa: BLE001 (whatever it is, it decides about the message)
                outcome = plan_failure(job, attempt, error, self.clock.now_ms())
                log_failure(outcome, attempt, error)
        if self.on_end:
            how = "done" if outcome is None else type(outcome).__name__.lower()
            self.on_end(message.kind, how, self.clock.monotonic_s() - started_s)
        if outcome is None:
            self._drop(message)
            return True
        return self._is_over(record, replace(message, tries=attempt - 1), outcome)

    def _is_over(self, record: Record, message: RowMessage | CallMessage, outcome: Outcome) -> bool:
        """Return whether the queue may delete a message with this outcome; else set when it comes back."""
        match outcome:
            case Queued(run_at_ms, _, counts):
                if not counts:
                    return self._send_later(message, run_at_ms)
                self._hide(record, run_at_ms - self.clock.now_ms())
                return False
            case Dead() if isinstance(message, CallMessage):
                self._hide(record, 0)  # the queue moves it to its dead letters
                return False
            case _:
                return True

    def _send_later(self, message: RowMessage | CallMessage, run_at_ms: int) -> bool:
        """Replace a message that only waits by a new one: the queue counts how often a message was received."""
        delay_s = _delay_s(run_at_ms - self.clock.now_ms())
        try:
            self._queue.send([Outgoing(render_message(message), delay_s)])
        except CarboyError as error:
            log.warning("jobs_not_sent", count=1, error=str(error), hint="the first message comes back")
            return False
        return True

    def _hide(self, record: Record, wait_ms: int) -> None:
        try:
            self._queue.hide(record["receiptHandle"], wait_ms / 1000)
        except CarboyError as error:
            log.info("sqs_message_not_hidden", message_id=record["messageId"], error=str(error))

    # --- arguments that are too long ---

    def _fitting(self, message: CallMessage) -> str:
        text = render_message(message)
        if len(text.encode()) <= MAX_BYTES:
            return text
        if self.park is None:
            raise UsageError(
                f"the job `{message.kind}` cannot be sent",
                f"its arguments are longer than {MAX_BYTES} bytes",
                "keep them elsewhere, and send where they are",
            )
        name = self.park.put(orjson.dumps(message.args))
        return render_message(replace(message, args=(), parked=name))

    def _args(self, message: CallMessage) -> Sequence[Any] | None:
        if not message.parked:
            return message.args
        if self.park is None:
            raise ConfigurationError("arguments cannot be read", "there is no store for long ones", "see the settings")
        try:
            args: list[Any] = orjson.loads(self.park.get(message.parked))
        except Missing:
            return None
        return args

    def _drop(self, message: CallMessage) -> None:
        if message.parked and self.park is not None:
            try:
                self.park.drop(message.parked)
            except CarboyError as error:
                log.info("claim_check_not_deleted", name=message.parked, error=str(error))


def _queue_of(settings: JobsSettings) -> Queue:
    if settings.jobs_broker_url is None:
        raise ConfigurationError(
            "there is no queue", "JOBS_ENGINE is `sqs` and JOBS_BROKER_URL is not set", "set it to the queue's URL"
        )
    return SqsQueue(settings.jobs_broker_url.reveal())


def _delay_s(wait_ms: int) -> int:
    return min(max(-(-wait_ms // 1000), 0), MAX_DELAY_S)
