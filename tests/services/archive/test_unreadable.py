"""Objects and stores that refuse: one object never hides the others, and each refusal is named with what to do."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from tests.lab.fake_s3 import FakeS3, S3Error, fake_s3
from tests.services.archive.test_destinations import until

from carboy.errors import Refused, UpstreamError
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Put, Store
from carboy.services.archive.worker import RefusedPuts, put_version
from carboy.testing.answers import Answer
from carboy.testing.http_server import LoopbackServer

AT_MS = 1_484_661_060_000
RANGE = "start=2017-01-17T13:51:00Z&end=2017-01-17T13:52:00Z"
ALERTS = f"/api/v1/s3/alert?{RANGE}"
COLD = S3Error(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
DENIED = S3Error(403, "AccessDenied", "User: arn:aws:iam::123456789012:user/x is not authorized")


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


def store_on(s3: FakeS3 | LoopbackServer) -> Store:
    return open_store(
        "s3://archive/p", endpoint=s3.url, region="us-east-1", access_key_id="a", secret_access_key="hush", retries=0
    )


@pytest.fixture
def on_s3(serve: Any, s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A gateway whose objects are on the fake."""
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    toml = '[default.archive.sources.it]\nverify = "none"\nid = "/id"\nkeep_headers = ["X-Event"]\n'
    return serve(toml=toml, archive_url="s3://archive/p", archive_endpoint=s3.url, archive_timeout_s="2")


def send_three(gateway: Any) -> None:
    gateway.send(*({"id": f"a{number}", "created_at": AT_MS + number} for number in range(3)))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (COLD, "InvalidObjectState: The operation is not valid"),
        (S3Error(404, "NoSuchKey"), "none under that key"),
        (DENIED, "AccessDenied"),
        (S3Error(500, "InternalError"), "500 InternalError"),
        (b"\x1f\x8b half of a gzip", "not the JSON"),
        (b"", "not the JSON"),
        (b'{"id": "a1", "created', "not the JSON"),
    ],
)
def test_one_unreadable_object_leaves_the_others(on_s3: Any, s3: FakeS3, fault: Any, reason: str) -> None:
    """In the list, in the stream; for the one its facts and the reason."""
    send_three(on_s3)
    key = next(key for key in s3.objects if key.endswith("/a1"))
    if isinstance(fault, bytes):
        s3.objects[key] = fault, {}
    else:
        s3.refuse = lambda method, asked: fault if method == "GET" and asked == key else None

    listed = on_s3.get(ALERTS)
    streamed = on_s3.get(ALERTS, headers={"Accept": "application/x-ndjson"})

    assert (listed.status_code, streamed.status_code) == (200, 200)
    for alerts in (listed.get_json()["alerts"], [json.loads(line) for line in streamed.text.splitlines()]):
        assert [one["id"] for one in alerts] == ["a0", "a1", "a2"]
        assert [one["created_at"] for one in alerts] == [AT_MS, AT_MS + 1, AT_MS + 2]
        assert reason in alerts[1]["unreadable"]
        assert "unreadable" not in alerts[0]


@pytest.mark.parametrize("fault", [COLD, S3Error(404, "NoSuchKey")])
def test_a_range_of_unreadable_objects_is_a_list_of_reasons(on_s3: Any, s3: FakeS3, fault: S3Error) -> None:
    """A lifecycle rule takes the oldest ranges whole."""
    send_three(on_s3)
    s3.refuse = lambda method, key: fault if method == "GET" else None

    answer = on_s3.get(ALERTS)

    assert answer.status_code == 200
    assert len([one["unreadable"] for one in answer.get_json()["alerts"]]) == 3


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_store_that_does_not_work_is_a_503(on_s3: Any, s3: FakeS3, accept: str) -> None:
    """Before the first byte: the status is chosen when the first page is read."""
    send_three(on_s3)
    s3.refuse = lambda method, key: DENIED

    answer = on_s3.get(ALERTS, headers={"Accept": accept})

    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")


@pytest.mark.slow
def test_a_stream_that_breaks_says_so_in_its_last_line(on_s3: Any, s3: FakeS3) -> None:
    """With the cursor to go on from: nothing is missing and nothing comes twice."""
    on_s3.send(*({"id": f"a{number:04}", "created_at": AT_MS + number} for number in range(700)))
    broken = {f"p/webhooks/2017/01/17/13/51/a{number:04}" for number in range(500, 700)}
    s3.refuse = lambda method, key: DENIED if key in broken else None

    lines = [
        json.loads(line) for line in on_s3.get(ALERTS, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    ]
    s3.refuse = lambda method, key: None
    more = on_s3.get(f"{ALERTS}&limit=1000&cursor={lines[-1]['next']}").get_json()["alerts"]

    assert len(lines) == 501
    assert (lines[-1]["success"], lines[-1]["status"]) == (False, 503)
    assert [one["id"] for one in [*lines[:-1], *more]] == [f"a{number:04}" for number in range(700)]


@pytest.mark.parametrize(("fault", "status"), [(COLD, 409), (S3Error(404, "NoSuchKey"), 200), (DENIED, 503)])
def test_one_that_cannot_be_read_alone_says_why(on_s3: Any, s3: FakeS3, fault: S3Error, status: int) -> None:
    send_three(on_s3)
    s3.refuse = lambda method, key: fault if method == "GET" else None

    assert on_s3.get("/api/v1/s3/alert/a1").status_code == status


def test_a_list_of_webhooks_has_ids_times_and_headers(on_s3: Any) -> None:
    """The bodies as they came, and beside them what no body has; in a stream each line has both."""
    for number in range(2):
        on_s3.open(
            "POST", "/api/v1/webhooks/it?wait=10", json={"id": f"e{number}", "n": number}, headers={"X-Event": "push"}
        )
    path = "/api/v1/webhooks/it?start=2000-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"

    listed = on_s3.get(path).get_json()
    lines = on_s3.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()

    assert [one["id"] for one in listed["alerts"]] == ["e0", "e1"]
    assert [(one["id"], one["headers"], one["content_type"]) for one in listed["webhooks"]] == [
        (name, {"X-Event": "push"}, "application/json") for name in ("e0", "e1")
    ]
    assert all(one["received_at"] for one in listed["webhooks"])
    assert [json.loads(line)["body"]["n"] for line in lines] == [0, 1]
    assert [json.loads(line)["headers"] for line in lines] == [{"X-Event": "push"}] * 2


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (S3Error(403, "RequestTimeTooSkewed", "The difference is too large"), "clock"),
        (S3Error(403, "InvalidAccessKeyId", "does not exist"), "AWS_ACCESS_KEY_ID"),
        (S3Error(403, "SignatureDoesNotMatch", "does not match"), "AWS_SECRET_ACCESS_KEY"),
        (S3Error(403, "AccessDenied", "Access Denied"), "allow s3:PutObject on s3://archive"),
        (
            S3Error(403, "AccessDenied", "arn:x is not authorized to perform: kms:GenerateDataKey on resource: arn:y"),
            "allow kms:GenerateDataKey on the KMS key",
        ),
        (
            S3Error(403, "AccessDenied", "not authorized to perform: s3:PutObject with an explicit deny"),
            "explicit deny",
        ),
        (S3Error(400, "KMS.DisabledException", "is disabled"), "enable the KMS key"),
        (S3Error(400, "ExpiredToken", "has expired"), "credentials have ended"),
        (S3Error(400, "AuthorizationHeaderMalformed", "the region is wrong"), "AWS_REGION"),
        (S3Error(301, "PermanentRedirect", "use the endpoint"), "AWS_REGION"),
        (S3Error(404, "NoSuchBucket", "does not exist"), "make the bucket"),
        (S3Error(403, "QuotaExceeded", "full"), "make room"),
    ],
)
def test_each_refusal_has_the_words_of_the_store_and_its_hint(s3: FakeS3, error: S3Error, hint: str) -> None:
    """Of a put, and of the check, though a list would succeed."""
    s3.refuse = lambda method, key: error if method == "PUT" else None
    store = store_on(s3)

    for call in (lambda: store.put_new("a", b"x", "text/plain"), store.check):
        with pytest.raises(UpstreamError) as caught:
            call()
        assert hint in caught.value.hint
        assert error.code in caught.value.why
        assert error.message in caught.value.why or error.status in {301, 404}
        assert "hush" not in f"{caught.value}{caught.value.hint}"


def test_puts_that_are_refused_are_seen_everywhere(on_s3: Any, s3: FakeS3) -> None:
    """Lists succeed: `/readyz` is degraded, the status is a 503, and both have the reason; no account is shown."""
    message = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: kms:GenerateDataKey"
    s3.refuse = lambda method, key: S3Error(403, "AccessDenied", message) if method == "PUT" else None

    ready = on_s3.get("/readyz")
    status = on_s3.get("/api/v1/s3/status")

    assert (ready.status_code, ready.get_json()["degraded"]) == (200, ["object store"])
    assert "kms:GenerateDataKey" in ready.get_json()["checks"]["object store"]["why"]
    assert "123456789012" not in ready.text
    assert status.status_code == 503
    assert "kms:GenerateDataKey" in status.get_json()["s3"]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal",
    [
        S3Error(403, "AccessDenied"),
        S3Error(400, "ExpiredToken"),
        S3Error(400, "InvalidRequest"),
        S3Error(507, "InsufficientStorage"),
    ],
    ids=lambda one: one.code,
)
def test_a_prefix_that_is_denied_is_named_and_stops_no_other(
    on_s3: Any, s3: FakeS3, refusal: S3Error, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line when the store begins to refuse what a source sends and one when it ends; `/readyz` says so between."""
    s3.refuse = lambda method, key: refusal if method == "PUT" and "/it/" in key else None
    for at in range(3):
        assert on_s3.post("/api/v1/webhooks/it", json={"id": f"e{at}"}).status_code == 202
    assert until(lambda: on_s3.get("/readyz").get_json().get("degraded") == ["object store"])
    assert on_s3.send({"id": "a", "created_at": AT_MS}).status_code == 200  # of another prefix

    check = on_s3.get("/readyz").get_json()["checks"]["object store"]
    s3.refuse = lambda _method, _key: None
    for job in on_s3.get("/api/jobs?state=queued").get_json()["jobs"]:
        on_s3.post(f"/api/jobs/{job['id']}/retry")

    assert until(lambda: on_s3.get("/readyz").get_json()["status"] == "ready")
    said = capsys.readouterr().out
    assert refusal.code in check["why"]
    assert said.count("archive_refused") == said.count("archive_stored_again") == 1
    on_s3.wait_until_idle()
    assert len([key for key in on_s3.kept() if "/it/" in key]) == 3


@pytest.mark.parametrize(
    ("status", "hint"), [(307, "AWS_REGION"), (302, "AWS_REGION"), (308, "AWS_REGION"), (407, "HTTPS_PROXY")]
)
def test_what_stands_before_the_store_is_named(status: int, hint: str) -> None:
    """A redirect to another region, and a proxy that wants credentials."""
    with LoopbackServer(Answer(status, b"")) as server, pytest.raises(Refused) as caught:
        store_on(server).put_new("a/b", b"{}", "application/json")

    assert hint in caught.value.hint


def test_a_refusal_without_an_error_code_may_come_from_a_firewall() -> None:
    with LoopbackServer(Answer(403, b"<html>blocked</html>")) as server, pytest.raises(Refused) as caught:
        store_on(server).put_new("a/b", b"{}", "application/json")

    assert "firewall" in caught.value.hint


@pytest.mark.parametrize(("is_conditional", "is_known"), [(True, True), (False, True), (False, False)])
def test_a_check_leaves_nothing_in_the_bucket(s3: FakeS3, is_conditional: bool, is_known: bool) -> None:
    s3.is_conditional, s3.knows_conditions = is_conditional, is_known

    store_on(s3).check()

    assert s3.objects == {}


@pytest.mark.parametrize(("is_conditional", "is_known"), [(True, True), (False, True), (False, False)])
def test_two_contents_are_never_one(s3: FakeS3, is_conditional: bool, is_known: bool) -> None:
    """Also where the store ignores conditions, or refuses them: what is there is looked for before a put."""
    s3.is_conditional, s3.knows_conditions = is_conditional, is_known
    stores = [store_on(s3), store_on(s3)]

    keys = [put_version(store, "webhooks/x", data, "text/plain") for store in stores for data in (b"1", b"2", b"1")]

    assert len(set(keys)) == 2
    assert keys[:3] == keys[3:]
    assert sorted(data for data, _ in s3.objects.values()) == [b"1", b"2"]  # and nothing that was put to find out
    assert stores[0].is_conditional() is is_conditional
    assert stores[0].put_new("webhooks/x", b"3", "text/plain") is Put.EXISTED


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "https://s3.cn-northwest-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu"),
        ("us-iso-east-1", "https://s3.us-iso-east-1.c2s.ic.gov"),
        ("us-gov-west-1", None),
        ("eu-west-1", None),
    ],
)
@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION", "region"])
def test_a_region_is_asked_in_its_partition(
    monkeypatch: pytest.MonkeyPatch, region: str, endpoint: str | None, name: str
) -> None:
    """China's endpoints are below `amazonaws.com.cn`; an endpoint of the operator's own is stronger."""
    for other in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(other, raising=False)
    options: dict[str, Any] = {"region": region} if name == "region" else {}
    if name != "region":
        monkeypatch.setenv(name, region)

    backend: Any = vars(open_store("s3://archive", **options))["_backend"]
    own: Any = vars(open_store("s3://archive", endpoint="http://127.0.0.1:9", **options))["_backend"]

    assert backend.config.get("endpoint") == endpoint
    assert own.config["endpoint"] == "http://127.0.0.1:9"


def test_jobs_that_are_refused_at_once_make_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whichever of them is the first; the text of an error may take a while."""

    class Slow(Refused):
        def __str__(self) -> str:
            time.sleep(0.05)
            return super().__str__()

    refused, barrier = RefusedPuts(), Barrier(8)

    def fail() -> None:
        barrier.wait(30)
        raise Slow("the object could not be stored", "AccessDenied", "")

    def put(_: int) -> None:
        with pytest.raises(Slow), refused.watch("it"):
            fail()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    with refused.watch("it"):
        pass

    assert [one.getMessage().split()[0] for one in caplog.records] == ["archive_refused", "archive_stored_again"]


def test_a_refusal_that_was_on_its_way_when_the_store_took_another_is_no_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = RefusedPuts()
    denied = Refused("the object could not be stored", "AccessDenied", "")

    def store_another_and_fail() -> None:
        with refused.watch("it"):
            pass
        raise denied

    with pytest.raises(Refused), refused.watch("it"):
        raise denied
    with pytest.raises(Refused), refused.watch("it"):
        store_another_and_fail()

    refused.check()
    assert [one.getMessage().split()[0] for one in caplog.records] == ["archive_refused", "archive_stored_again"]

    with pytest.raises(Refused), refused.watch("it"):
        raise denied
    with pytest.raises(Refused):
        refused.check()
