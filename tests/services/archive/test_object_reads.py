"""Requests that read objects do not wait for a store that does not answer."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from flask import Flask
from tests.lab.fake_s3 import FakeS3, S3Error, fake_s3
from tests.services.archive.test_destinations import until

from carboy.clock import SYSTEM_CLOCK
from carboy.errors import Unreachable
from carboy.services.archive.bucket import BucketStore
from carboy.services.archive.items import TimeRange
from carboy.services.archive.listing import Listing
from carboy.services.archive.object_reads import ObjectReads
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Entry, ObjectMissing, StoredObject
from carboy.testing import serve_process
from carboy.testing.processes import AwsServer
from carboy.web import create_app, runtime

TOML = '[default.archive.sources.it]\nverify = "none"\nid = "/id"\n'
WEBHOOKS = "/api/v1/webhooks/it"
LIST = f"{WEBHOOKS}?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"
THREADS = 4


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


def ask(port: int, method: str, path: str, body: str | None = None) -> int:
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request(method, path, body, {"Content-Type": "application/json"})
        return client.getresponse().status
    finally:
        client.close()


def test_a_store_that_does_not_answer_leaves_threads_to_webhooks(s3: FakeS3, tmp_path: Path) -> None:
    """Twice as many clients read as there are threads; what waits in the database is read on."""
    (tmp_path / "carboy.toml").write_text(TOML)
    environ = {
        "FLASK_PROFILE": "local", "AUTH": "off", "MODULES": "carboy.services.archive",
        "ARCHIVE_URL": "s3://archive/p", "ARCHIVE_ENDPOINT": s3.url, "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "ARCHIVE_TIMEOUT_S": "120", "ARCHIVE_READ_WAIT_S": "0.3",
    }  # fmt: skip
    answers = threading.Event()
    with serve_process(tmp_path, "--threads", str(THREADS), environ=environ) as server:
        for number in range(2 * THREADS):
            assert ask(server.port, "POST", f"{WEBHOOKS}?wait=20", f'{{"id":"e{number}"}}') == 200
        s3.refuse = lambda _method, _key: None if answers.wait(120) else S3Error(500, "InternalError")
        with ThreadPoolExecutor(2 * THREADS) as pool:
            reads = [pool.submit(ask, server.port, "GET", f"{WEBHOOKS}/e{at}") for at in range(2 * THREADS)]
            assert [one.result() for one in reads] == [503] * len(reads)
        assert ask(server.port, "POST", WEBHOOKS, '{"id":"new"}') == 202
        assert ask(server.port, "GET", f"{WEBHOOKS}/new") == 200
        assert ask(server.port, "GET", LIST) == 200
        assert ask(server.port, "GET", "/readyz") == 200

        answers.set()

        assert until(lambda: ask(server.port, "GET", f"{WEBHOOKS}/e0") == 200)


class SlowStore(BucketStore):
    """A store in memory whose answers take a while, or never come."""

    def __init__(self) -> None:
        store = vars(open_store("memory://"))
        super().__init__(store["_backend"], "memory")
        self.slow_s = 0.0
        self.silent = threading.Event()
        self.silent.set()
        self.asked = 0

    def get(self, key: str) -> bytes:
        self._wait()
        return super().get(key)

    def read(self, key: str) -> StoredObject:
        self._wait()
        return super().read(key)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self._wait()
        yield from super().list(prefix, after)

    def check(self) -> None:
        self._wait()

    def _wait(self) -> None:
        self.asked += 1
        threading.Event().wait(self.slow_s)
        assert self.silent.wait(60)


@pytest.fixture
def store() -> Iterator[SlowStore]:
    made = SlowStore()
    for key in "abcdefgh":
        made.put_new(key, key.encode(), "text/plain")
    yield made
    made.silent.set()


def test_what_arrives_slowly_is_waited_for(store: SlowStore) -> None:
    """A long list takes longer than the patience for one object, also behind the list of another request."""
    store.slow_s = 0.05
    reads = ObjectReads(store, parallel=1, patience_s=0.2)

    with ThreadPoolExecutor(2) as pool:
        found = [one.result() for one in [pool.submit(reads.get_all, "abcdefgh") for _ in range(2)]]

    assert found == [[key.encode() for key in "abcdefgh"]] * 2


def test_one_that_is_missing_is_the_error_of_its_place(store: SlowStore) -> None:
    reads = ObjectReads(store, parallel=2, patience_s=5.0)

    first, second = reads.get_all(["a", "z"])

    assert first == b"a"
    assert isinstance(second, ObjectMissing)
    with pytest.raises(ObjectMissing):
        reads.get("z")


def test_while_it_does_not_answer_one_in_a_while_tries(store: SlowStore) -> None:
    """The others fail at once, without a read; when it answers again, all read again."""
    reads = ObjectReads(store, parallel=4, patience_s=0.2)
    store.silent.clear()
    with pytest.raises(Unreachable, match="does not answer"):
        reads.get("a")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: isinstance(reads.get_all(["b"])[0], Unreachable), range(64)))
    assert all(found)
    assert store.asked < 16

    store.silent.set()
    assert until(lambda: reads.get_all(["a"]) == [b"a"])


def test_an_error_that_is_none_of_the_store_is_raised(store: SlowStore) -> None:
    """A fault in the code is not reported as a store that is unavailable."""
    reads = ObjectReads(store, parallel=1, patience_s=5.0)

    with pytest.raises(AttributeError):
        reads.get_all([None])  # type: ignore[list-item]


RANGE = TimeRange("threatstack", 1_484_661_060_000, 1_484_661_120_000)
ALERTS = "/api/v1/s3/alert"


@pytest.fixture
def listed(store: SlowStore) -> SlowStore:
    for at in range(3):
        body = f'{{"id": "a{at}", "created_at": {1_484_661_060_000 + at}}}'.encode()
        store.put_new(f"webhooks/2017/01/17/13/51/a{at}", body, "application/json")
        store.put_new(f"alerts/a{at}/__/a{at}", body, "application/json")
    return store


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_list_without_an_index_has_what_arrives_slowly(listed: SlowStore, parallel: int) -> None:
    """Folders, objects and details are each waited for, also by a single thread."""
    listed.slow_s = 0.05
    listing = Listing(listed, ObjectReads(listed, parallel, patience_s=0.2), SYSTEM_CLOCK, fetches=True)

    found, following = listing.page(RANGE, 2, None)
    rest, end = listing.page(RANGE, 2, following)

    assert [one.item.item_id for one in (*found, *rest)] == ["a0", "a1", "a2"]
    assert {one.item.detail for one in found} == {"kept"}
    assert end is None


def test_a_list_without_an_index_does_not_wait_for_a_silent_store(listed: SlowStore) -> None:
    """Neither a list nor an alert by its id; and both work again when the store does."""
    listing = Listing(listed, ObjectReads(listed, 1, patience_s=0.2), SYSTEM_CLOCK, fetches=True)
    listed.silent.clear()

    with pytest.raises(Unreachable, match="does not answer"):
        listing.page(RANGE, 2, None)
    with pytest.raises(Unreachable, match="does not answer"):
        listing.one("threatstack", "a0")
    assert listed.asked == 1

    listed.silent.set()
    assert until(lambda: _ids(listing) == ["a0", "a1"])


def test_a_store_that_falls_silent_in_the_middle_of_a_list_ends_it(listed: SlowStore) -> None:
    """The folder was listed; its objects do not come."""
    listing = Listing(listed, ObjectReads(listed, 4, patience_s=0.2), SYSTEM_CLOCK, fetches=True)
    entries = listed.list

    def list_and_fall_silent(prefix: str, after: str = "") -> Iterator[Entry]:
        yield from entries(prefix, after)
        listed.silent.clear()

    vars(listed)["list"] = list_and_fall_silent
    with pytest.raises(Unreachable, match="does not answer"):
        listing.page(RANGE, 2, None)


def _ids(listing: Listing) -> list[str]:
    try:
        return [one.item.item_id for one in listing.page(RANGE, 2, None)[0]]
    except Unreachable:
        return []


def test_requests_of_a_service_without_a_database_end_within_the_limit(
    s3: FakeS3, moto: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, streams, an alert by its id and the status are a 503, and webhooks go on."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    queue = moto.client("sqs").create_queue(QueueName=f"reads-{uuid4().hex[:8]}")["QueueUrl"]
    answers = threading.Event()
    app = create_app(
        "test", folder=tmp_path, auth="off", modules="carboy.services.archive", jobs_engine="sqs",
        jobs_broker_url=queue, archive_url="s3://archive/p", archive_endpoint=s3.url, archive_read_wait_s=0.3,
    )  # fmt: skip
    assert _status(app, f"{ALERTS}?start=2017-01-17T13:51:00Z&end=2017-01-17T13:52:00Z") == 200
    s3.refuse = lambda _method, _key: None if answers.wait(60) else S3Error(500, "InternalError")
    try:
        started = monotonic()
        spans = "start=2017-01-17T13:51:00Z&end=2017-01-17T13:52:00Z"
        assert [_status(app, path) for path in (f"{ALERTS}?{spans}", f"{ALERTS}/a0", "/api/v1/s3/status")] == [503] * 3
        assert _status(app, f"{ALERTS}?{spans}", Accept="application/x-ndjson") == 503
        assert monotonic() - started < 5  # each would take 30 s: three tries of 10 s
        alert = {"alerts": [{"id": "a0", "created_at": 1_484_661_060_000}]}
        assert app.test_client().post(ALERTS, json=alert).status_code == 202
    finally:
        answers.set()
        runtime(app).close()


def _status(app: Flask, path: str, **headers: str) -> int:
    return app.test_client().get(path, headers=headers).status_code
