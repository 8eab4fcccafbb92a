"""Transport options of each broker: priorities, and short timeouts for a broker that is unavailable.

Redis keeps a list for each priority (the lower first), RabbitMQ a queue that sorts (the higher first); SQS has no
priorities, so that what is urgent has a queue of its own there.

Source: Celery's user guide, "Routing Tasks", "Special Routing Options"; kombu's transports.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from carboy.errors import ConfigurationError, Fault

_HINT = "set JOBS_BROKER_URL to redis://…, rediss://…, amqp://…, amqps://… or sqs://"
_HIGHEST = 9
_URGENT = 3  # up to this priority a job has the urgent queue, where priorities are queues
_TIMEOUT_S = 2.0
_NO_WAITING = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


@dataclass(frozen=True, slots=True)
class Broker:
    """The address and options of a broker.

    Attributes:
        url: its address; may have a password.
        queues: their names, the urgent one first.
        route: the queue and the message's own priority of a job's priority.
        queue_arguments: of every queue.
        options: of every connection.
        publish_options: of a connection that publishes or asks, over the others: it gives up soon.
        transport: the one of kombu's that the address does not name.
    """

    url: str
    name: Literal["redis", "amqp", "sqs"]
    queues: tuple[str, ...]
    route: Callable[[int], tuple[str, int]]
    queue_arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    publish_options: dict[str, Any] = field(default_factory=dict)
    transport: str | None = None

    @property
    def has_events(self) -> bool:
        """Whether the broker carries events and remote control: SQS has no broadcast."""
        return self.name != "sqs"


def plan_broker(url: str | None, queue: str) -> Broker:
    """Return the address and options of a broker.

    Raises:
        ConfigurationError: the URL is missing, or names an unknown broker.
    """
    scheme = urlsplit(url or "").scheme
    if url is None or scheme.partition("+")[0] not in _PLANS:
        detail = "a broker is needed by JOBS_ENGINE=celery" if url is None else "it names an unknown broker"
        raise ConfigurationError(
            "the jobs have no broker", f"JOBS_BROKER_URL: {detail}", _HINT, [Fault("JOBS_BROKER_URL", detail)]
        )
    return _PLANS[scheme.partition("+")[0]](url, queue)


def _redis(url: str, queue: str) -> Broker:
    return Broker(
        url,
        "redis",
        (queue,),
        lambda priority: (queue, _clamp(priority)),
        options={"priority_steps": list(range(_HIGHEST + 1)), "queue_order_strategy": "priority"},
        publish_options=_NO_WAITING
        | {
            "socket_timeout": _TIMEOUT_S,
            "socket_connect_timeout": _TIMEOUT_S,
            "retry_on_timeout": False,
        },
    )


def _amqp(url: str, queue: str) -> Broker:
    return Broker(
        url,
        "amqp",
        (queue,),
        lambda priority: (queue, _HIGHEST - _clamp(priority)),
        queue_arguments={"x-max-priority": _HIGHEST},
        publish_options=_NO_WAITING | {"read_timeout": _TIMEOUT_S, "write_timeout": _TIMEOUT_S},
    )


def _sqs(url: str, queue: str) -> Broker:
    urgent = f"{queue}-urgent"
    return Broker(
        url,
        "sqs",
        (urgent, queue),
        lambda priority: (urgent if priority <= _URGENT else queue, 0),
        options={"wait_time_seconds": 5, "polling_interval": 0.2},
        publish_options=_NO_WAITING
        | {
            "client-config": {
                "connect_timeout": _TIMEOUT_S,
                "read_timeout": _TIMEOUT_S,
                "retries": {"total_max_attempts": 1},
            }
        },
        transport="carboy.jobs.celery.sqs_transport:Transport",
    )


def _clamp(priority: int) -> int:
    return min(max(priority, 0), _HIGHEST)


_PLANS: dict[str, Callable[[str, str], Broker]] = {
    "redis": _redis,
    "rediss": _redis,
    "amqp": _amqp,
    "amqps": _amqp,
    "pyamqp": _amqp,
    "sqs": _sqs,
}
