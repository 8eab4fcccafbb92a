"""Row ids are published after the commit, and a commit never waits for the broker."""

import json
import threading
from collections.abc import Callable
from importlib import import_module
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tests.jobs.celery import shop_app
from tests.jobs.celery.kit import Yard
from tests.jobs.celery.shop_app import bulk, otp
from tests.journeys.zygote import eventually

from carboy.db import GroupCommit
from carboy.errors import ConfigurationError, Degraded
from carboy.jobs import JobsSettings, Ready, enqueue
from carboy.jobs.celery.brokers import plan_broker
from carboy.jobs.celery.engine import CeleryEngine
from carboy.redact import Secret
from carboy.testing.ports import free_port
from carboy.testing.processes import BrokerServer
from carboy.web import runtime


def _works(yard: Yard) -> bool:
    try:
        yard.celery.check()
    except Degraded:
        return False
    return True


def test_a_row_is_published_after_its_commit_and_after_a_rollback_none(any_yard: Yard) -> None:
    """On Redis, on RabbitMQ and on SQS."""
    with Session(any_yard.engine) as session:
        enqueue(bulk, "never", session=session)
        session.rollback()
        enqueue(bulk, "one", session=session)
        session.commit()
        enqueue(otp, "two", session=session)
        session.commit()

    eventually(lambda: any_yard.celery.depth() == 2, "two messages wait")
    eventually(lambda: _works(any_yard), "the engine says that it works")
    assert any_yard.celery.counts == {"published": 2}


def test_a_message_holds_the_id_and_not_the_arguments(yard: Yard, redis_server: BrokerServer) -> None:
    """What a job is about stays in the database."""
    from redis import Redis

    row = yard.add(bulk, "a-secret")
    eventually(lambda: yard.celery.depth() == 1, "a message waits")

    with Redis(port=redis_server.port) as client:
        [name] = list(client.keys(f"{yard.settings.jobs_queue}*"))
        held: Any = client.lrange(name, 0, -1)
    [message] = held
    assert row.id.encode() in message
    assert b"a-secret" not in message


def test_nobody_waits_for_a_broker_that_is_away(make_yard: Callable[..., Yard]) -> None:
    """The rows are there; the engine says that it works, but not as it should."""
    yard = make_yard(f"redis://127.0.0.1:{free_port()}/0")

    rows = [yard.add(bulk, f"row {number}") for number in range(50)]

    assert {yard.store.get(int(row.id)).state for row in rows} == {"queued"}
    eventually(lambda: yard.celery.counts.get("failed", 0) > 0, "it was tried")
    assert "published" not in yard.celery.counts
    with pytest.raises(Degraded, match="unavailable"):
        yard.celery.check()
    assert yard.celery.is_running


def test_an_application_stays_ready_while_the_broker_is_away(
    make_yard: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it accepts is kept; `/readyz` says that something is wrong, and `/metrics` how much."""
    yard = make_yard(f"redis://127.0.0.1:{free_port()}/0")
    for name in ("JOBS_ENGINE", "JOBS_BROKER_URL", "DATABASE_URL"):
        monkeypatch.setenv(name, yard.environ[name])
    app = shop_app.create_app()
    held = runtime(app)
    with app.app_context(), held.engine.begin() as connection:
        enqueue(bulk, "one", session=connection)
    eventually(lambda: held.jobs.messages.get("failed", 0) > 0, "it was tried")

    answer = app.test_client().get("/readyz")

    said = json.loads(answer.data)
    assert (answer.status_code, said["status"]) == (200, "degraded")
    check = said["checks"]["job engine"]
    assert (check["ok"], check["degraded"]) == (True, True)
    assert "kept" in check["why"]
    assert b'carboy_jobs_messages_total{outcome="failed"}' in held.metrics.render()
    held.close()


@pytest.mark.parametrize("is_frozen", [False, True], ids=["killed", "frozen"])
def test_rows_of_an_outage_are_published_when_the_broker_is_back(
    make_yard: Callable[..., Yard], is_frozen: bool
) -> None:
    """Though there was no broker at all when they were committed, or one that took connections and said nothing.

    And once each, though the sweepers reported them again and again.
    """
    from carboy.testing.processes import redis, require

    with require(redis) as server:
        yard = make_yard(server.url)
        (server.process.freeze if is_frozen else server.process.kill)()
        rows = [yard.add(bulk, f"row {number}") for number in range(5)]
        eventually(lambda: yard.celery.counts.get("failed", 0) > 0, "it was tried")
        for _ in range(20):
            yard.celery.notify([Ready(int(row.id), row.kind, 5, row.run_at) for row in rows])
        (server.process.thaw if is_frozen else server.process.start)()
        eventually(lambda: yard.celery.counts.get("published") == 5, "all are published")
        assert yard.celery.depth() >= 5  # what the frozen one had taken was sent to it again
        assert yard.celery.stop()
        assert yard.celery.counts["published"] <= 10  # those that were being sent just then are told again


def test_a_row_for_later_is_published_when_it_is_due(yard: Yard) -> None:
    """And one for much later by the sweeper."""
    yard.add(bulk, "soon", after_s=0.3)
    yard.add(bulk, "much later", after_s=60)

    eventually(lambda: yard.celery.counts.get("published") == 1, "one is published")


def test_a_stop_publishes_what_is_due(yard: Yard) -> None:
    """Nothing that could go out is left to the sweeper."""
    for number in range(20):
        yard.add(bulk, f"row {number}")

    assert yard.celery.stop()
    assert yard.celery.depth() == 20
    assert not yard.celery.is_running
    assert [one.name for one in threading.enumerate() if one.name == "carboy-jobs-publisher"] == []


@pytest.mark.parametrize("url", [None, "http://somewhere", "memory://"])
def test_an_address_that_names_no_broker_is_refused(url: str | None) -> None:
    """With what would do."""
    with pytest.raises(ConfigurationError) as caught:
        plan_broker(url, "q")

    assert [fault.pointer for fault in caught.value.faults] == ["JOBS_BROKER_URL"]
    assert "redis://" in caught.value.hint


def test_another_celery_application_is_not_disturbed(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has the other's tasks, broker or place."""
    from celery import Celery, _state

    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/0")
    theirs = Celery("theirs", set_as_current=False, broker="memory://")
    before = _state.default_app

    ours = yard.celery.celery

    assert _state.default_app is before
    assert "mail.bulk" in ours.tasks
    assert "mail.bulk" not in theirs.tasks
    yard.add(bulk, "one")
    eventually(lambda: yard.celery.counts.get("published") == 1, "it went to our broker")
    assert ours.connection().as_uri() != "redis://127.0.0.1:1/0"


def test_a_queue_of_rabbitmq_with_other_arguments_is_a_fault_of_the_configuration(
    rabbitmq_server: BrokerServer,
) -> None:
    """The worker's start reports it as such, and readiness as a degraded service: rows are accepted and kept."""
    kombu: Any = import_module("kombu")
    engine = _engine(rabbitmq_server.url, "foreign")
    with kombu.Connection(rabbitmq_server.url) as connection:
        for name in engine.broker.queues:
            kombu.Queue(name, kombu.Exchange(name), name, channel=connection.default_channel).declare()
    for check in (engine.check, engine.check_queues):
        with pytest.raises(ConfigurationError, match=r"`foreign.*` cannot be used") as caught:
            check()
        assert isinstance(caught.value, Degraded)
        assert "JOBS_QUEUE" in caught.value.hint
    with pytest.raises(ConfigurationError, match="runs no jobs"):
        engine._perform("bulk", 1)


@pytest.mark.parametrize(
    ("declared", "word"),
    [
        ({"queue_arguments": {"x-max-priority": 5}}, "x-max-priority"),
        ({"queue_arguments": {"x-queue-type": "quorum"}}, "x-queue-type"),
        ({"queue_arguments": {"x-max-priority": 9, "x-max-length": 1}}, "x-max-length"),
        ({"queue_arguments": {"x-max-priority": 9}, "durable": False}, "durable"),
        ({"queue_arguments": {"x-max-priority": 9}, "exclusive": True}, "RESOURCE_LOCKED"),
    ],
    ids=["priority", "quorum", "length", "transient", "exclusive"],
)
def test_what_rabbitmq_refuses_is_in_its_own_words(
    rabbitmq_server: BrokerServer, declared: dict[str, Any], word: str
) -> None:
    """Which argument differs, or who has the queue."""
    kombu: Any = import_module("kombu")
    engine = _engine(rabbitmq_server.url, f"foreign-{token_hex(4)}")
    with kombu.Connection(rabbitmq_server.url) as connection:
        for name in engine.broker.queues:
            kombu.Queue(name, kombu.Exchange(name), name, channel=connection.default_channel, **declared).declare()
        with pytest.raises(ConfigurationError, match=word):
            engine.check_queues()


@pytest.mark.parametrize("path", [":wrong@{place}//", ":guest@{place}/nowhere"], ids=["password", "path"])
def test_a_broker_that_lets_us_not_in_is_not_called_unavailable(rabbitmq_server: BrokerServer, path: str) -> None:
    """Its words are shown, and what to look at."""
    engine = _engine(f"amqp://guest{path.format(place=f'127.0.0.1:{rabbitmq_server.port}')}", "jobs")

    with pytest.raises(Degraded, match=r"it refuses the connection: (ACCESS_REFUSED|NOT_ALLOWED)") as caught:
        engine.check()

    assert not isinstance(caught.value, ConfigurationError)
    assert "password" in caught.value.hint


def _engine(url: str, queue: str) -> CeleryEngine:
    settings = JobsSettings(jobs_engine="celery", jobs_broker_url=Secret(url), jobs_queue=queue)
    return CeleryEngine(GroupCommit(create_engine("sqlite://")), shop_app.registry(), settings)
