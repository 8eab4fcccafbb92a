"""The engine that publishes: a row's id goes to the broker after the commit, and Celery's workers take the row."""

import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from carboy.errors import CarboyError, ConfigurationError, Degraded
from carboy.extras import extra
from carboy.jobs.celery.brokers import Broker, plan_broker
from carboy.jobs.celery.publisher import Publisher, close_quietly
from carboy.jobs.engine_registry import JobEngine, Ready
from carboy.jobs.settings import JobsSettings
from carboy.threaded_call import ThreadedCall

if TYPE_CHECKING:
    from celery import Celery

_CONNECT_S = 2.0
_UNUSABLE = {  # AMQP 0-9-1, reply codes
    403: "give the broker's user the right to configure it, or choose another name by JOBS_QUEUE",
    405: "end the connection that has it for itself, or choose another name by JOBS_QUEUE",
    406: "delete it at the broker, or choose another name by JOBS_QUEUE",
}
_CHECK_S = 1.5  # less than the budget of `/readyz`, so that it reports a degraded service and not a timeout


class QueueUnusable(ConfigurationError, Degraded):
    """A queue cannot be used as it is at the broker; until it can, rows are kept."""


@dataclass(eq=False, repr=False)
class CeleryEngine(JobEngine):
    """Publishes rows to a broker; a worker sets `perform`, which runs them.

    Attributes:
        broker: its address and options.
        perform: runs the row of a kind and id in a worker; None in a process that publishes only.

    Raises:
        ConfigurationError: `JOBS_BROKER_URL` names no broker.
    """

    def __post_init__(self) -> None:
        self.perform: Callable[[str, int], str] | None = None
        self.broker: Broker = self.check_settings(self.settings)
        self._publisher = Publisher(self._send, self._disconnect, self.clock)
        self._producer: Any = None

    @staticmethod
    def check_settings(settings: JobsSettings) -> Broker:
        """Return how to speak with the broker that the settings name.

        Raises:
            ConfigurationError: they name none.
            MissingExtra: Celery is not installed.
        """
        url = settings.jobs_broker_url
        broker = plan_broker(url.reveal() if url is not None else None, settings.jobs_queue)
        with extra("celery"):
            if find_spec("celery") is None:
                raise ImportError(name="celery")
        return broker

    @property
    def is_running(self) -> bool:
        """Whether it was not stopped; the thread that publishes begins with the first row."""
        return not self._publisher.stopped

    @property
    def counts(self) -> dict[str, int]:
        """How many messages were published, failed, or left to the sweeper, since the start of this process."""
        return dict(self._publisher.counts)

    def report_messages(self, report: Callable[[str, int], None]) -> None:
        """Call a function with the outcome and the number of messages whenever some were published or not."""
        self._publisher.on_message = report

    @cached_property
    def celery(self) -> "Celery":
        """The Celery application, with a task for each kind of job that is known by now."""
        from carboy.jobs.celery.celery_factory import make_celery

        return make_celery(self.broker, self.registry, self.settings, self._perform)

    def start(self) -> None:
        """Do nothing: the first row starts the thread that publishes."""

    def stop(self, drain_s: float | None = None) -> bool:
        """Publish what is due, for two seconds at most."""
        return self._publisher.stop(self.settings.jobs_drain_s if drain_s is None else drain_s)

    def notify(self, rows: Sequence[Ready]) -> None:
        """Publish rows in the background."""
        if rows:
            self._publisher.add(rows)

    def check(self) -> None:
        """Ask the broker how many messages it has, and wait a moment for the answer.

        Raises:
            QueueUnusable: RabbitMQ refuses a queue of this name, such as one with other arguments.
            Degraded: it does not answer; rows are kept, and published once it does.
        """
        try:
            ThreadedCall(self._ask, "carboy-jobs-check").wait(_CHECK_S, TimeoutError())
        except CarboyError:
            raise
        except Exception as error:
            refusal = _refusal_of(error)
            what = f"it refuses the connection: {refusal}" if refusal else f"it is unavailable ({type(error).__name__})"
            raise Degraded(
                "the broker of the jobs",
                f"{what}; jobs are kept, and published when it is available",
                "see the user, password and path in JOBS_BROKER_URL"
                if refusal
                else "see JOBS_BROKER_URL, and whether the broker is up",
            ) from error

    def _ask(self) -> None:
        self.check_queues()
        self.depth()

    def check_queues(self) -> None:
        """Declare the queues at RabbitMQ, as a worker does; the other brokers' queues have no arguments.

        Raises:
            QueueUnusable: RabbitMQ refuses a queue of this name, such as one with other arguments.
            Exception: whatever the broker's library raises while it is unreachable.
        """
        if self.broker.name != "amqp":
            return
        with self._connect() as connection:
            connection.connect()
            for queue in self.celery.conf.task_queues:
                try:
                    queue.bind(connection.default_channel).declare()
                except connection.channel_errors as error:
                    code, words = getattr(error, "code", 0), getattr(error, "reply_text", "")
                    if code not in _UNUSABLE:
                        raise
                    raise QueueUnusable(
                        f"the queue `{queue.name}` cannot be used", f"RabbitMQ says: {words}", _UNUSABLE[code]
                    ) from error

    def depth(self) -> int:
        """Return how many messages wait at the broker.

        Raises:
            Exception: whatever the broker's library raises while it is unavailable.
        """
        with self._connect() as connection:
            return sum(_depth(connection, name) for name in self.broker.queues)

    def _perform(self, kind: str, row_id: int) -> str:
        if self.perform is None:
            raise ConfigurationError(
                "this process runs no jobs", "it only publishes them", "start `carboy worker`, or attach a worker"
            )
        return self.perform(kind, int(row_id))

    def _connect(self) -> Any:
        """Return a connection that gives up soon."""
        from kombu.connection import Connection

        broker = self.broker
        options = broker.options | broker.publish_options
        connection: Any = Connection
        return connection(broker.url, transport=broker.transport, connect_timeout=_CONNECT_S, transport_options=options)

    # --- in the publisher's thread ---

    def _send(self, rows: Sequence[Ready]) -> None:
        producer = self._live_producer()
        with producer.batch():
            for row in rows:
                queue, priority = self.broker.route(row.priority)
                self.celery.send_task(
                    row.kind,
                    (row.id,),
                    task_id=f"{row.id}-{token_hex(3)}",  # another each time: a revoked one is not meant for the next
                    producer=producer,
                    queue=queue,
                    priority=priority,
                    retry=False,
                    ignore_result=True,
                )

    def _live_producer(self) -> Any:
        if self._producer is not None and self.broker.name == "amqp":
            _notice_end(self._producer.connection)
        if self._producer is None:
            from kombu.messaging import Producer

            connection = self._connect()
            producer: Any = Producer
            try:
                connection.connect()
                self._producer = producer(connection)
            except BaseException:
                close_quietly(connection)
                raise
        return self._producer

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_quietly(producer.connection)


def _refusal_of(error: Exception) -> str:
    """Return why a broker that answers lets us not in, in its own words, or ""."""
    if type(error).__name__ in {"AuthenticationError", "NoPermissionError"}:  # of redis-py
        return str(error)
    return str(getattr(error, "reply_text", "") or "")  # of amqp


def _depth(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:  # there is no such queue yet
        return 0
    finally:
        close_quietly(channel)


def _notice_end(connection: Any) -> None:
    """Raise where the server has closed the connection: the first write after that would be lost without an error."""
    sock = connection.connection.transport.sock
    if select.select([sock], [], [], 0)[0]:
        connection.drain_events(timeout=0.1)
