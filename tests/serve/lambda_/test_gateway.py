"""The gateway itself on Lambda: accepted by an HTTP event, sent to a queue, done by an event of the queue."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.lab.threat_stack import ThreatStack
from tests.lab.threat_stack_api import invent_alert
from tests.serve.lambda_.queues import Trigger

from carboy.aws.clients import forget
from carboy.clock import SYSTEM_CLOCK
from carboy.errors import ConfigurationError
from carboy.serve import lambda_handler
from carboy.serve.lambda_.handler import LambdaHandler
from carboy.testing import ManualClock
from carboy.testing.events import LambdaContext, http_v2, sqs
from carboy.testing.ports import free_port
from carboy.testing.processes import AwsServer, DatabaseServer
from carboy.web import create_app, runtime

ALERT: dict[str, Any] = {
    "id": "587c0159a907346eccb84004",
    "title": "a shell",
    "created_at": 1484661060000,
    "severity": 1,
}
COPY = "webhooks/2017/01/17/13/51/587c0159a907346eccb84004"
DETAIL = "alerts/58/7c/587c0159a907346eccb84004"
SWEEP = {"source": "carboy", "detail-type": "sweep", "detail": {}}

Make = Callable[..., LambdaHandler]


class Bucket:
    """A bucket of this test's own."""

    def __init__(self, server: AwsServer) -> None:
        self.name, self._s3 = f"archive-{uuid4().hex[:12]}", server.client("s3")
        self._s3.create_bucket(Bucket=self.name)

    def __call__(self, prefix: str = "") -> dict[str, bytes]:
        """Return the objects under the archive's prefix, by key."""
        listed = self._s3.list_objects_v2(Bucket=self.name, Prefix=f"gateway/{prefix}").get("Contents", ())
        return {
            one["Key"].removeprefix("gateway/"): self._s3.get_object(Bucket=self.name, Key=one["Key"])["Body"].read()
            for one in listed
        }


@pytest.fixture(autouse=True)
def _credentials(moto: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    forget()
    yield
    forget()


@pytest.fixture
def trigger(moto: AwsServer) -> Trigger:
    """A queue of this test's own."""
    client = moto.client("sqs")
    url = client.create_queue(QueueName=f"jobs-{uuid4().hex[:12]}", Attributes={"VisibilityTimeout": "720"})["QueueUrl"]
    return Trigger(client, url)


@pytest.fixture
def bucket(moto: AwsServer) -> Bucket:
    return Bucket(moto)


@pytest.fixture
def make(tmp_path: Path, trigger: Trigger, bucket: Bucket) -> Iterator[Make]:
    """Start the gateway as Lambda does, without a database."""
    made: list[LambdaHandler] = []

    def start(profile: str = "test", toml: str = "", clock: Any = SYSTEM_CLOCK, **settings: Any) -> LambdaHandler:
        (tmp_path / "carboy.toml").write_text(toml)
        given = {
            "jobs_engine": "sqs",
            "jobs_broker_url": trigger.url,
            "modules": "carboy.services.archive",
            "archive_url": f"s3://{bucket.name}/gateway",
            "instance_path": str(tmp_path / "instance"),
            "threatstack_rate": "off",
            **({"auth": "off"} if profile == "test" else {}),
            **settings,
        }
        made.append(lambda_handler(lambda: create_app(profile, folder=tmp_path, clock=clock, **given)))
        return made[-1]

    yield start
    for one in made:
        runtime(one.application).close()


def ask(handler: LambdaHandler, method: str, path: str, document: Any = None) -> tuple[int, Any]:
    """Send an HTTP event; return status and body."""
    body = None if document is None else json.dumps(document).encode()
    event = http_v2(method, path, headers=[("content-type", "application/json")], body=body)
    answer = handler(event, LambdaContext())
    return answer["statusCode"], json.loads(answer["body"])


def accept(handler: LambdaHandler, *alerts: dict[str, Any]) -> tuple[int, Any]:
    return ask(handler, "POST", "/api/v1/s3/alert", {"alerts": list(alerts)})


# --- the archive, without a database ---


def test_a_webhook_goes_through_the_queue_into_the_bucket(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """It is read back from the bucket by its own time."""
    handler = make()

    status, answer = accept(handler, ALERT)
    assert (status, answer["accepted"], answer["ids"]) == (202, 1, [ALERT["id"]])
    assert bucket() == {}

    assert trigger.run(handler) == []
    assert {key: json.loads(body) for key, body in bucket().items()} == {COPY: ALERT}
    assert trigger.counts() == (0, 0, 0)
    status, answer = ask(handler, "GET", "/api/v1/s3/alert?start=2017-01-17T13:51:00Z&end=2017-01-17T13:51:01Z")
    assert (status, answer["alerts"], answer["next"]) == (200, [ALERT], None)


def test_the_full_alert_is_fetched_by_a_message_of_its_own(
    make: Make, trigger: Trigger, bucket: Bucket, threat_stack: ThreatStack
) -> None:
    """So that one that the API does not know yet holds back no other."""
    handler = make(threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url)
    threat_stack.tell(missing_ids=["unknown1"])
    accept(handler, ALERT, {**ALERT, "id": "unknown1"})

    assert trigger.run(handler) == []

    assert {COPY, DETAIL, "webhooks/2017/01/17/13/51/unknown1"} == set(bucket())
    assert trigger.counts() == (0, 0, 1)  # asked again in a while, which is no failure
    assert ask(handler, "GET", f"/api/v1/s3/alert/{ALERT['id']}")[1]["alert"] == invent_alert(ALERT["id"])
    assert ask(handler, "GET", "/api/v1/s3/alert/unknown1")[0] == 404


def test_what_comes_twice_is_kept_once(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """A message, a webhook, an alert within one; another content is a version beside the first."""
    handler = make()
    accept(handler, ALERT, ALERT)
    accept(handler, ALERT)
    trigger.run(handler)
    assert handler({"Records": trigger.delivered}, LambdaContext()) == {"batchItemFailures": []}
    assert list(bucket()) == [COPY]

    accept(handler, {**ALERT, "severity": 2})
    trigger.run(handler)

    assert len(bucket()) == 2
    assert all(key.startswith(COPY) for key in bucket())


def test_events_without_a_body_are_kept_apart(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """Under one id, by their headers; also where the metadata has no room for these."""
    handler = make(toml='[default.archive.sources.it]\nverify = "none"\nid = "header:X-Id"\ntime = "header:X-At"\n')
    for number in ("1", "2", "3", "2"):
        headers = [("x-id", "a"), ("x-at", "2017-01-17T13:51:00Z"), ("x-number", number), ("x-pad", "x" * 3000)]
        answer = handler(http_v2("POST", "/api/v1/webhooks/it", headers=headers, body=b""), LambdaContext())
        assert answer["statusCode"] == 202

    assert trigger.run(handler) == []

    assert len(bucket()) == 3


def test_a_body_that_no_message_can_hold_lies_in_the_bucket_until_it_is_done(
    make: Make, trigger: Trigger, bucket: Bucket
) -> None:
    """The message says where."""
    handler = make()
    long = {**ALERT, "title": "x" * 600_000}
    status, _ = accept(handler, long, {**ALERT, "id": "b"})
    assert status == 202
    assert [key.partition("/")[0] for key in bucket()] == ["messages"]

    assert trigger.run(handler) == []

    assert {key: json.loads(body)["id"] for key, body in bucket().items()} == {
        COPY: ALERT["id"],
        "webhooks/2017/01/17/13/51/b": "b",
    }
    assert json.loads(bucket()[COPY]) == long
    assert handler({"Records": trigger.delivered}, LambdaContext()) == {"batchItemFailures": []}


def test_a_queue_that_is_away_is_answered_503(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """A sender that reads 202 never has to send again; who reads 503 does."""
    for url in (f"http://127.0.0.1:{free_port()}/123456789012/jobs", f"{trigger.url}-that-is-not-there"):
        handler = make(jobs_broker_url=url)
        answer = handler(
            http_v2("POST", "/api/v1/s3/alert", body=json.dumps({"alerts": [ALERT]}).encode()), LambdaContext()
        )
        assert answer["statusCode"] == 503
        assert answer["headers"]["Retry-After"]
        assert ask(handler, "GET", "/readyz")[0] == 503
    assert (bucket(), trigger.counts()) == ({}, (0, 0, 0))


def test_what_fails_comes_back_and_the_rest_of_the_batch_is_done(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """A message that cannot be parsed too: it goes to the dead-letter queue."""
    handler = make()
    accept(handler, ALERT)
    for text in ("no JSON", '{"carboy":1,"job":"of.another.release","args":[]}', '{"carboy":2,"job":"x"}'):
        trigger.sqs.send_message(QueueUrl=trigger.url, MessageBody=text)

    assert len(trigger.run(handler)) == 3
    assert list(bucket()) == [COPY]

    away = make(archive_endpoint=f"http://127.0.0.1:{free_port()}", archive_connect_timeout_s=0.2, archive_timeout_s=1)
    accept(away, {**ALERT, "id": "later"})
    assert len(trigger.run(away)) == 1  # the store is away
    assert sum(trigger.counts()) == 4


def test_what_there_is_no_time_for_comes_back(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """It is not begun."""
    handler = make()
    accept(handler, ALERT)

    assert len(trigger.run(handler, timeout_s=0.2)) == 1
    assert bucket() == {}


def test_a_sender_with_a_token_is_let_in_without_a_database(make: Make, trigger: Trigger, bucket: Bucket) -> None:
    """Keys are rows, so without a database no key exists; readiness asks for no database, and reports the queue."""
    toml = '[default.archive.sources.threatstack]\ntokens = ["tok_0123456789abcdef"]\n'
    handler = make("prod", toml, secret_key="0" * 32)

    assert ask(handler, "POST", "/api/v1/s3/alert", {"alerts": [ALERT]})[0] == 401
    status, answer = ask(handler, "POST", "/api/v1/webhooks/threatstack/tok_0123456789abcdef", {"alerts": [ALERT]})
    assert (status, answer["accepted"]) == (202, 1)
    trigger.run(handler)
    assert list(bucket()) == [COPY]
    status, answer = ask(handler, "GET", "/readyz")
    assert (status, set(answer["checks"])) == (200, {"object store", "job engine"})


def test_a_range_is_read_in_the_order_of_time_page_by_page(make: Make, trigger: Trigger) -> None:
    """The newest version of each alert in it, in any order of arrival."""
    handler = make()
    times = {f"a{number}": ALERT["created_at"] + number * 17_000 for number in range(12)}
    accept(handler, *({**ALERT, "id": name, "created_at": at} for name, at in reversed(times.items())))
    trigger.run(handler)
    accept(handler, {**ALERT, "id": "a3", "created_at": times["a3"], "severity": 3})
    trigger.run(handler)
    query = "/api/v1/s3/alert?start=2017-01-17T13:51:17Z&end=2017-01-17T13:53:30Z&limit=3"

    found: list[tuple[str, int]] = []
    cursor: str | None = ""
    while cursor is not None:
        _, page = ask(handler, "GET", query + (f"&cursor={cursor}" if cursor else ""))
        found += [(one["id"], one["severity"]) for one in page["alerts"]]
        cursor = page["next"]

    assert found == [(f"a{number}", 3 if number == 3 else 1) for number in range(1, 9)]
    assert ask(handler, "GET", f"{query}&cursor=AAAA")[0] == 422
    assert [one["id"] for one in ask(handler, "GET", f"{query}&severity=3")[1]["alerts"]] == ["a3"]


# --- with a database ---


def _text(number: int = 0) -> dict[str, Any]:
    return {"receivers": f"+861380000{number:04d}", "template": "captcha", "params": {"code": "1234"}}


def _sent(outbox: Path) -> list[str]:
    return outbox.read_text().splitlines() if outbox.exists() else []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_text_goes_through_a_row_and_the_queue_to_its_provider(
    make: Make, trigger: Trigger, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """The row is the truth: a message that comes twice sends nothing twice."""
    url = f"sqlite:///{tmp_path}/rows.db"
    if kind == "postgres":
        server: DatabaseServer = request.getfixturevalue("postgres_server")
        url = server.url(database=server.create_database())
    handler = make(modules="carboy.services.sms", database_url=url, sms_outbox=str(tmp_path / "outbox"))
    if kind == "postgres":
        from carboy.db import upgrade

        upgrade(runtime(handler.application).engine)

    status, answer = ask(handler, "POST", "/api/sms", _text())
    assert status == 202
    assert _sent(tmp_path / "outbox") == []

    assert trigger.run(handler) == []
    assert handler({"Records": trigger.delivered}, LambdaContext()) == {"batchItemFailures": []}
    assert len(_sent(tmp_path / "outbox")) == 1
    assert ask(handler, "GET", f"/api/sms/{answer['id']}")[1]["messages"][0]["state"] == "sent"


def test_a_row_whose_message_was_lost_is_swept(make: Make, trigger: Trigger, tmp_path: Path) -> None:
    """With a database nothing is lost while the queue is away: it is accepted, and sent when it is back."""
    clock = ManualClock()
    settings = {"modules": "carboy.services.sms", "database_url": f"sqlite:///{tmp_path}/rows.db"}
    settings["sms_outbox"] = str(tmp_path / "outbox")
    away = make(clock=clock, jobs_broker_url=f"http://127.0.0.1:{free_port()}/1/jobs", **settings)
    assert ask(away, "POST", "/api/sms", _text())[0] == 202
    assert ask(away, "GET", "/readyz")[1]["status"] == "degraded"
    handler = make(clock=clock, **settings)

    assert handler(SWEEP, LambdaContext()) == {"sent": 0}  # it may be on its way
    clock.advance(16)
    sent = handler(SWEEP, LambdaContext())["sent"]
    assert sent >= 1
    assert handler(SWEEP, LambdaContext()) == {"sent": 0}  # not again at once

    assert trigger.run(handler) == []
    assert len(_sent(tmp_path / "outbox")) == 1


def test_a_row_leased_by_another_function_is_left_to_it(make: Make, trigger: Trigger, tmp_path: Path) -> None:
    """Until its lease has ended: then the sweep sends it again."""
    clock = ManualClock()
    outbox = tmp_path / "outbox"
    handler = make(
        clock=clock,
        modules="carboy.services.sms",
        database_url=f"sqlite:///{tmp_path}/rows.db",
        sms_outbox=str(outbox),
    )
    ask(handler, "POST", "/api/sms", _text())
    with runtime(handler.application).engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE carboy_jobs SET state='running', owner='sqs:another', attempts=1, lease_until=?",
            (clock.now_ms() + 60_000,),
        )

    assert trigger.run(handler) == []
    assert _sent(outbox) == []
    clock.advance(61)
    assert handler(SWEEP, LambdaContext())["sent"] >= 1
    assert trigger.run(handler) == []
    assert len(_sent(outbox)) == 1


def test_keys_need_a_database(make: Make) -> None:
    """Creating a key fails with an error."""
    keys = runtime(make().application).keys
    assert keys.find("cby_aaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb") is None
    with pytest.raises(ConfigurationError, match="no API keys"):
        keys.store.create("one", ["archive:read"])


def test_a_job_that_fails_comes_back_and_is_dead_in_its_row_at_last(
    make: Make, trigger: Trigger, tmp_path: Path
) -> None:
    """Its message is then forgotten: who retries the row sends another."""
    clock = ManualClock()
    handler = make(clock=clock, database_url=f"sqlite:///{tmp_path}/rows.db")
    held = runtime(handler.application)
    accept(handler, ALERT)
    (row,) = held.jobs.store.list()
    with held.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE carboy_jobs SET attempts = 10000")  # it has tried for two weeks

    assert trigger.run(handler) == []
    assert held.jobs.store.get(int(row.id)).state == "dead"

    held.jobs.store.retry(int(row.id))
    assert trigger.run(handler) == []
    assert held.jobs.store.get(int(row.id)).state == "done"


def test_texts_need_a_database(make: Make) -> None:
    """The start says so."""
    with pytest.raises(ConfigurationError, match="no database"):
        make(modules="carboy.services.sms")


def test_the_engine_needs_a_queue(make: Make) -> None:
    """The start says so, with the setting's name."""
    with pytest.raises(ConfigurationError) as caught:
        make(jobs_broker_url=None)
    assert [fault.pointer for fault in caught.value.faults] == ["JOBS_BROKER_URL"]


def test_a_row_message_without_a_database_comes_back(make: Make) -> None:
    """It belongs to another stage."""
    event = sqs('{"carboy":1,"job":"archive.keep_items","row":"17"}')

    answer = make()(event, LambdaContext())

    assert answer["batchItemFailures"] == [{"itemIdentifier": event["Records"][0]["messageId"]}]
