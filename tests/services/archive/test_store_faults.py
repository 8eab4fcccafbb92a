"""What a store does when something is wrong: the disk, the bucket, the credentials, the network, another writer."""

import base64
import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.services.archive.kit import bucket_of

from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Put, Store, StoreFull
from carboy.testing.answers import Answer, Cut, Stall
from carboy.testing.clock import ManualClock
from carboy.testing.http_server import LoopbackServer, closed_port
from carboy.testing.processes import AwsServer


def s3_error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})


@pytest.fixture
def s3() -> Iterator[LoopbackServer]:
    with LoopbackServer(Answer(200, headers={"ETag": '"x"'})) as server:
        yield server


def store_on(server: LoopbackServer, **options: object) -> Store:
    keys = {"endpoint": server.url, "region": "us-east-1", "access_key_id": "AKIATEST", "secret_access_key": "hush"}
    return open_store("s3://archive/prefix", **{**keys, **options})  # type: ignore[arg-type]


def test_an_object_goes_out_once_with_its_checksum(s3: LoopbackServer) -> None:
    """`If-None-Match`, SHA-256 and content type are on the one request, under the whole key."""
    store_on(s3).put_new("a/b", b"{}", "application/json")

    [request] = s3.requests
    assert (request.method, request.path, request.body) == ("PUT", "/archive/prefix/a/b", b"{}")
    assert request.headers["if-none-match"] == "*"
    assert request.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"{}").digest()).decode()
    assert request.headers["content-type"] == "application/json"


def test_a_replay_goes_out_with_its_checksum_and_no_condition(s3: LoopbackServer) -> None:
    """`put` means to overwrite."""
    store_on(s3).put("a/b", b"{}", "application/json")

    [request] = s3.requests
    assert "if-none-match" not in request.headers
    assert "x-amz-checksum-sha256" in request.headers


def test_the_content_type_is_kept(moto_s3: AwsServer, weed: AwsServer) -> None:
    """In the bucket the object is JSON."""
    for server in (moto_s3, weed):
        bucket_of(server, "typed").put_new("a/b", b"{}", "application/json")

        assert server.client("s3").head_object(Bucket="archive", Key="typed/a/b")["ContentType"] == "application/json"


def test_a_conflict_with_another_writer_is_tried_again(s3: LoopbackServer) -> None:
    """409 says that someone else is writing that key, not that the object is there."""
    s3.script(s3_error(409, "ConditionalRequestConflict"))

    assert store_on(s3, clock=ManualClock()).put_new("a/b", b"{}", "application/json") is Put.CREATED


def test_a_conflict_that_does_not_end_is_no_success(s3: LoopbackServer) -> None:
    """Nothing is said to be archived that is not there; between the tries there is a wait."""
    s3.script(*[s3_error(409, "ConditionalRequestConflict")] * 3)
    clock = ManualClock()

    with pytest.raises(Unreachable, match="409"):
        store_on(s3, retries=2, clock=clock).put_new("a/b", b"{}", "application/json")
    assert len(s3.requests) == 3
    assert len(clock.waits) == 2


def test_an_object_that_exists_costs_one_request(s3: LoopbackServer) -> None:
    """412 is S3's word for it, 409 with this code Azure's."""
    s3.script(s3_error(412, "PreconditionFailed"), s3_error(409, "BlobAlreadyExists"))

    assert store_on(s3).put_new("a/b", b"{}", "application/json") is Put.EXISTED
    assert store_on(s3).put_new("a/b", b"{}", "application/json") is Put.EXISTED
    assert len(s3.requests) == 2


DATE = "Mon, 16 Jan 2017 13:31:00 GMT"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (s3_error(403, "AccessDenied"), Refused),
        (s3_error(403, "SignatureDoesNotMatch"), Refused),
        (s3_error(400, "ExpiredToken"), Refused),
        (s3_error(301, "PermanentRedirect"), Refused),
        (s3_error(404, "NoSuchBucket"), Missing),
        (s3_error(503, "SlowDown"), Throttled),
        (s3_error(429, "TooManyRequests"), Throttled),
        (s3_error(500, "InternalError"), Unreachable),
        (s3_error(507, "InsufficientStorage"), StoreFull),
        (Answer(502, b"<html>proxy</html>"), Unreachable),
        (Cut("start"), Unreachable),
        (Stall(), Unreachable),
    ],
)
def test_each_fault_of_a_bucket_has_its_error(
    s3: LoopbackServer, answer: Answer | Cut | Stall, error: type[UpstreamError]
) -> None:
    """For every operation, and no message holds the secret."""
    s3.script(*[answer] * 40)
    store = store_on(s3, retries=0, timeout_s=0.2 if isinstance(answer, Stall) else 10)
    calls = [
        lambda: store.put_new("a/b", b"{}", "application/json"),
        lambda: store.put("a/b", b"{}", "application/json"),
        lambda: store.get("a/b"),
        lambda: list(store.list("a")),
        store.check,
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert type(caught.value) is error
        assert caught.value.hint
        assert "hush" not in f"{caught.value} {caught.value.hint}"


def test_a_body_that_is_cut_is_no_object(s3: LoopbackServer) -> None:
    """Half of an object is never taken for all of it."""
    headers = {"ETag": '"x"', "Last-Modified": DATE}
    s3.script(*[Cut("body", Answer(200, b"0123456789", headers))] * 10)

    with pytest.raises(Unreachable):
        store_on(s3, retries=0).get("a/b")


def test_a_passing_fault_is_not_seen(s3: LoopbackServer) -> None:
    """5xx and cuts are tried again within the call."""
    s3.script(s3_error(500, "InternalError"), s3_error(503, "SlowDown"))

    assert store_on(s3, retries=2).put_new("a/b", b"{}", "application/json") is Put.CREATED


def test_a_silent_server_does_not_hold_the_caller(s3: LoopbackServer) -> None:
    """The timeout is kept, retries included."""
    s3.script(*[Stall()] * 10)

    with pytest.raises(Unreachable) as caught:
        store_on(s3, timeout_s=0.2, retries=1).get("a/b")

    assert "in time" in caught.value.why
    assert len(s3.requests) == 2


def test_a_closed_port_is_unreachable() -> None:
    """The archive waits for its store; it does not fall over."""
    with closed_port() as port:
        store = open_store(
            "s3://archive",
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            access_key_id="x",
            secret_access_key="y",
            retries=0,
        )
        with pytest.raises(Unreachable):
            store.check()


def test_what_to_allow_is_said(weed: AwsServer) -> None:
    """A wrong secret is refused by a real server, and the hint names the setting that is wrong."""
    with pytest.raises(Refused) as caught:
        bucket_of(weed, secret_access_key="wrong").put_new("a", b"x", "text/plain")

    assert "SignatureDoesNotMatch" in caught.value.why
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint


def test_a_bucket_that_is_not_there_is_said_so(moto: AwsServer) -> None:
    """Not that the object is missing: that would look like an empty archive."""
    store = open_store(
        "s3://no-such-bucket",
        endpoint=moto.url,
        region="us-east-1",
        access_key_id="testing",
        secret_access_key="testing",
    )
    for call in (lambda: store.get("a"), lambda: store.put("a", b"", "text/plain"), store.check):
        with pytest.raises(Missing, match="s3://no-such-bucket is not there"):
            call()


def test_a_folder_survives_the_kill_of_its_writer(tmp_path: Path) -> None:
    """An object is complete, even if its writer dies at any moment; leftovers are not objects."""
    program = (
        "import sys\n"
        "from carboy.services.archive.object_store import open_store\n"
        "store = open_store('file://' + sys.argv[1])\n"
        "print('on', flush=True)\n"
        "for number in range(100000):\n"
        "    store.put_new(f'{sys.argv[2]}/{number}', str(number).encode() * 5000, 'text/plain')\n"
    )
    for life in range(2):
        arguments = [sys.executable, "-c", program, str(tmp_path / "archive"), str(life)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.05 + life * 0.013)
            writer.kill()

    store = open_store(f"file://{tmp_path}/archive")
    entries = list(store.list(""))
    assert entries
    for entry in entries:
        assert store.get(entry.key) == entry.key.split("/")[1].encode() * 5000


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """An hour later, when the next writer starts; what is being written now is left alone."""
    incoming = tmp_path / ".incoming"
    incoming.mkdir()
    (incoming / "old").write_bytes(b"x")
    (incoming / "new").write_bytes(b"x")
    os.utime(incoming / "old", (0, 0))

    open_store(tmp_path.as_uri()).put_new("a", b"x", "text/plain")

    assert [path.name for path in incoming.iterdir()] == ["new"]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """An operator tidies up while the service runs."""
    store = open_store(tmp_path.as_uri())
    store.put_new("a/b/1", b"x", "text/plain")
    (tmp_path / "a/b/1").unlink()
    (tmp_path / "a/b").rmdir()

    assert store.put_new("a/b/1", b"y", "text/plain") is Put.CREATED
    assert store.get("a/b/1") == b"y"


def test_an_archive_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """With all that was in it, by an operator; what is written from then on is kept."""
    store = open_store((tmp_path / "archive").as_uri())
    store.put_new("a/b/1", b"x", "text/plain")
    shutil.rmtree(tmp_path / "archive")

    store.check()
    assert store.put_new("a/b/1", b"y", "text/plain") is Put.CREATED
    shutil.rmtree(tmp_path / "archive")
    store.put("a/b/1", b"z", "text/plain")
    assert store.get("a/b/1") == b"z"


def test_a_full_disk_has_its_own_error() -> None:
    """`/dev/full` stands for it: every write says that there is no space."""
    from carboy.services.archive.folder import _explain

    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="space") as caught:
        full.write(b"x")
    explained = _explain(caught.value, "the object `a` could not be stored", "/archive")

    assert isinstance(explained, StoreFull)
    assert "full" in explained.why


def test_a_file_where_a_folder_should_be_is_unreachable(tmp_path: Path) -> None:
    """And the message names the place."""
    (tmp_path / "archive").write_bytes(b"")
    store = open_store((tmp_path / "archive").as_uri())

    with pytest.raises(Unreachable, match="archive"):
        store.check()
    with pytest.raises(Unreachable, match=errno.errorcode[errno.ENOTDIR]):
        store.put_new("a/b", b"x", "text/plain")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_carboys_is_refused(tmp_path: Path) -> None:
    """The hint says where to allow writing."""
    tmp_path.chmod(0o500)
    store = open_store((tmp_path / "archive").as_uri())

    with pytest.raises(Refused) as caught:
        store.check()
    assert str(tmp_path) in caught.value.hint


@pytest.mark.parametrize("code", ["RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"])
def test_what_was_damaged_on_its_way_is_no_fault_of_the_settings(s3: LoopbackServer, code: str) -> None:
    """S3 answers 400, and the same request may succeed later."""
    s3.script(s3_error(400, code))

    with pytest.raises(Unreachable, match=code) as caught:
        store_on(s3, retries=0).put_new("a/b", b"{}", "application/json")
    assert "later" in caught.value.hint


def test_a_response_without_what_every_response_has_is_named(s3: LoopbackServer) -> None:
    """Not as a server that could not be reached: that would be looked for in the network."""
    s3.script(Answer(200, b"<html>welcome</html>"))

    with pytest.raises(Unreachable, match="ETag"):
        store_on(s3, retries=0).put_new("a/b", b"{}", "application/json")


@pytest.mark.parametrize(("status", "code"), [(403, "SignatureDoesNotMatch"), (400, "AuthorizationHeaderMalformed")])
def test_a_refused_look_up_has_the_stores_reason(s3: LoopbackServer, status: int, code: str) -> None:
    """A response to HEAD has no body, so the reason is asked for."""
    s3.script(Answer(status), s3_error(status, code))

    with pytest.raises(Refused, match=code):
        store_on(s3, retries=0).head("a/b")


def test_a_directory_bucket_is_asked_in_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 Express: the suffix of the name says it, and no option is needed."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        keys = {"region": "us-west-2", "access_key_id": "x", "secret_access_key": "y"}
        store = open_store("s3://events--usw2-az1--x-s3/p", retries=0, timeout_s=5.0, **keys)  # type: ignore[arg-type]
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(store.get, "a/b")
            client, _ = proxy.accept()
            with client:
                asked = client.recv(4096)
            assert isinstance(reading.exception(20), Unreachable)

    assert asked.startswith(b"CONNECT events--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com:443 ")
