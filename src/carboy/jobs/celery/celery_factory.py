"""The Celery application of the jobs: one task for each kind, whose argument is the row's id.

It is an object of its own, and never Celery's current or default application: a project's other one is not disturbed,
nor do the variables that configure that one (`CELERY_BROKER_URL`, …) reach this one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.extras import extra
from carboy.jobs.celery.brokers import Broker
from carboy.jobs.definitions import Job, Registry
from carboy.jobs.settings import JobsSettings

if TYPE_CHECKING:
    from celery import Celery


def make_celery(
    broker: Broker, registry: Registry, settings: JobsSettings, perform: Callable[[str, int], Any]
) -> "Celery":
    """Make the application.

    Args:
        broker: where messages go.
        registry: the jobs; each becomes a task.
        settings: concurrency and drain.
        perform: runs a row, given its kind and id; what it returns or raises is the task's end.
    """
    with extra("celery"):
        from celery import Celery
        from kombu import entity

    class Own(Celery):  # type: ignore[misc]
        """Connects to this broker alone, whatever the environment variables of Celery say."""

        backend_cls = "disabled"

        def _connection(self, *_: Any, **options: Any) -> Any:
            return super()._connection(broker.url, **options | {"transport": broker.transport})

    app = Own("carboy", set_as_current=False, broker=broker.url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options=broker.options,
        control_exchange=settings.jobs_queue,  # `inspect`, and Flower, meet the workers of this service alone
        event_exchange=f"{settings.jobs_queue}.events",
        task_acks_late=True,
        task_create_missing_queues=False,
        task_default_delivery_mode="transient",  # the rows are durable
        task_default_queue=broker.queues[-1],
        task_ignore_result=True,
        task_queues=[_queue(entity, name, broker) for name in broker.queues],
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_concurrency=settings.jobs_concurrency,
        worker_consumer="carboy.jobs.celery.consumer:_LastingConsumer",
        worker_enable_remote_control=broker.has_events,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,  # what is urgent overtakes what waits at the broker, not what a worker holds
        worker_redirect_stdouts=False,
    )
    app.finalize()
    for kind in registry.kinds:
        _add_task(app, registry.get(kind), perform)
    return app


def _queue(entity: Any, name: str, broker: Broker) -> Any:
    exchange = entity.Exchange(name, type="direct")
    return entity.Queue(name, exchange, routing_key=name, queue_arguments=broker.queue_arguments or None)


def _add_task(app: "Celery", one: Job[...], perform: Callable[[str, int], Any]) -> None:
    def run(task: Any, row_id: int) -> Any:
        return perform(task.name, row_id)

    app.task(
        run,
        name=one.kind,
        bind=True,
        lazy=False,
        shared=False,  # else every Celery application in the process would have it
        soft_time_limit=one.timeout_s,
        time_limit=one.timeout_s * 1.1 + 1.0,  # for a job that ignores the first
        throws=(Exception,),  # the job's failure is logged already
    )
