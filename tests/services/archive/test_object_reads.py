"""Requests that read objects do not wait for a store that does not answer."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.lab.fake_s3 import FakeS3, S3Error, fake_s3
from tests.services.archive.test_destinations import until

from carboy.errors import Unreachable
from carboy.services.archive.bucket import BucketStore
from carboy.services.archive.object_reads import ObjectReads
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import ObjectMissing
from carboy.testing import serve_process

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
        self.asked += 1
        threading.Event().wait(self.slow_s)
        assert self.silent.wait(60)
        return super().get(key)


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
