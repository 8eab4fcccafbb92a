"""The index is lost, the objects are not: `carboy archive import` finds every source's webhooks again."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.fake_s3 import FakeS3, S3Error, fake_s3

from carboy.services.archive.folder import FolderStore
from carboy.services.archive.maintenance import import_archive
from carboy.web import runtime

ID, AT_MS = "587c0159a907346eccb84004", 1_484_661_060_000
TOML = '[default.archive.sources.it]\nverify = "none"\nid = "header:X-Id"\ntime = "header:X-At"\n'
LIST = "/api/v1/webhooks/it?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z"
SENT = [
    ("e1", b'{"n": 1}', "application/json", "2017-01-17T13:51:07.123Z"),
    ("a/b ~", b"<a/>", "application/xml", "2017-01-17T13:51:59.999Z"),
    ("x" * 300, b"\xff\x00", "application/octet-stream", "2017-01-17T13:52:00Z"),
    ("e1", b'{"n": 2}', "application/json", "2017-01-17T13:51:07.123Z"),
    ("empty", b"", "text/plain", "2017-01-17T13:53:00Z"),
]


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


@pytest.fixture(params=["s3", "folder"])
def settings(request: Any, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    if request.param == "s3":
        return {"toml": TOML, "archive_url": "s3://archive/p", "archive_endpoint": s3.url}
    return {"toml": TOML, "archive_url": f"file://{tmp_path}/archive"}


def send(gateway: Any) -> None:
    for event_id, body, content_type, at in SENT:
        answer = gateway.open(
            "POST",
            "/api/v1/webhooks/it?wait=20",
            data=body,
            content_type=content_type,
            headers={"X-Id": event_id, "X-At": at, "X-Event": "push"},
        )
        assert answer.get_json()["archived"] == 1, answer.text


def outcomes(gateway: Any) -> list[str]:
    held, archive = runtime(gateway.app), gateway.archive
    return sorted(one.outcome for one in import_archive(archive.store, archive.store, held.writer, held.clock))


@pytest.mark.slow
def test_the_index_of_every_source_is_built_again(serve: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    """Ids, bodies and newest versions; from a bucket also exact times, headers and types, from a folder the minute."""
    before = serve(**settings)
    send(before)
    was = before.get(LIST).get_json()

    after = serve(**settings, database_url=f"sqlite:///{tmp_path}/other.db")
    assert outcomes(after) == ["taken"] * len(SENT)
    now = after.get(LIST).get_json()

    ids = [one["id"] for one in was["webhooks"]]
    assert sorted(one["id"] for one in now["webhooks"]) == sorted(ids)
    assert outcomes(after) == ["known"] * len(SENT)
    for event_id in ("e1", "x" * 300, "a%2Fb%20~"):
        one, other = (gateway.get(f"/api/v1/webhooks/it/{event_id}").get_json() for gateway in (before, after))
        assert one["alert"] == other["alert"]
        assert one["webhook"].get("body_base64") == other["webhook"].get("body_base64")
    if settings["archive_url"].startswith("s3"):
        assert now == was
    else:
        times = {one["id"]: one["time"] for one in now["webhooks"]}
        assert times["e1"] == "2017-01-17T13:51:00.000Z"


@pytest.mark.slow
def test_what_is_sent_again_after_an_import_is_known(serve: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    """The imported row is the same as the one that a request makes."""
    send(serve(**settings))
    after = serve(**settings, database_url=f"sqlite:///{tmp_path}/other.db")
    outcomes(after)

    kept = len(after.kept())
    for event_id, body, content_type, at in SENT[:3]:
        answer = after.open(
            "POST",
            "/api/v1/webhooks/it",
            data=body,
            content_type=content_type,
            headers={"X-Id": event_id, "X-At": at, "X-Event": "push"},
        )
        assert answer.get_json()["duplicates"] == 1
    assert len(after.kept()) == kept


@pytest.mark.parametrize("settings", ["s3"], indirect=True)
def test_objects_say_what_they_are(serve: Any, settings: dict[str, Any], s3: FakeS3) -> None:
    """For other tools: id, source and times in the metadata, the sender's content type."""
    send(serve(**settings))

    _, headers = s3.objects["p/webhooks/it/2017/01/17/13/51/e1"]
    kept = {name.lower(): value for name, value in headers.items()}

    assert (kept["x-amz-meta-id"], kept["x-amz-meta-source"]) == ("e1", "it")
    assert kept["content-type"] == "application/json"
    assert kept["x-amz-meta-time"] == "1484661067123"
    assert '"X-Event":"push"' in kept["x-amz-meta-headers"]
    assert all(value.isascii() and value.isprintable() for value in kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["s3"], indirect=True)
def test_what_cannot_be_read_is_skipped_with_its_reason(
    serve: Any, settings: dict[str, Any], s3: FakeS3, tmp_path: Path
) -> None:
    """A cold object ends no import, and neither does a key that is not the archive's."""
    send(serve(**settings))
    s3.objects["p/webhooks/it/readme.txt"] = b"hello", {}
    cold = S3Error(403, "InvalidObjectState", "cold")
    s3.refuse = lambda method, key: cold if method == "GET" and key.endswith("/e1") else None
    after = serve(**settings, database_url=f"sqlite:///{tmp_path}/other.db")
    held, archive = runtime(after.app), after.archive

    found = list(import_archive(archive.store, archive.store, held.writer, held.clock))

    assert sorted(one.outcome for one in found) == ["skipped", "skipped", *["taken"] * (len(SENT) - 1)]
    assert {one.key.rpartition("/")[2]: one.reason for one in found if one.reason}.keys() == {"e1", "readme.txt"}


@pytest.mark.parametrize("age_s", [86_400, -86_400])
def test_what_was_received_before_is_no_newer_because_it_is_imported_now(
    serve: Any, tmp_path: Path, age_s: int
) -> None:
    """The version that was received last is the one that is read back and listed; the other stays beside it."""
    gateway = serve(toml=TOML)
    gateway.send({"id": ID, "created_at": AT_MS, "n": "received"})
    headers = {"X-Id": "e1", "X-At": "2017-01-17T13:51:00Z"}
    gateway.open("POST", "/api/v1/webhooks/it?wait=20", data=b'{"n":"received"}', headers=headers)
    old = FolderStore(tmp_path / "old")
    for key in (f"webhooks/2017/01/17/13/51/{ID}", "webhooks/it/2017/01/17/13/51/e1"):
        old.put(key, b'{"id":"%s","created_at":%d,"n":"imported"}' % (ID.encode(), AT_MS), "application/json")
        at_s = time.time() - age_s
        os.utime(tmp_path / "old" / key, (at_s, at_s))

    held = runtime(gateway.app)
    found = list(import_archive(old, gateway.archive.store, held.writer, held.clock))

    newest = "received" if age_s > 0 else "imported"
    assert [one.outcome for one in found] == ["taken", "taken"]
    assert gateway.get(f"/api/v1/s3/alert/{ID}").get_json()["alert"]["n"] == newest
    assert gateway.get("/api/v1/webhooks/it/e1").get_json()["alert"]["n"] == newest
    assert [one["n"] for one in gateway.get(LIST).get_json()["alerts"]] == [newest]
    assert len(gateway.kept()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["s3"], indirect=True)
@pytest.mark.parametrize("padding", [10, 3000])
def test_events_without_a_body_are_objects_of_their_own(
    serve: Any, settings: dict[str, Any], s3: FakeS3, tmp_path: Path, padding: int
) -> None:
    """Under one id, with headers that distinguish them, whether or not the metadata has room for these."""
    before = serve(**settings)
    for number in (1, 2, 3, 2):
        headers = {"X-Id": "channel", "X-At": "2017-01-17T13:51:07Z", "X-Number": str(number), "X-Pad": "x" * padding}
        assert before.open("POST", "/api/v1/webhooks/it?wait=20", data=b"", headers=headers).status_code == 200

    after = serve(**settings, database_url=f"sqlite:///{tmp_path}/other.db")

    assert len(s3.objects) == 3
    if padding < 100:
        assert outcomes(after) == ["taken"] * 3
        assert outcomes(after) == ["known"] * 3
        assert len(s3.objects) == 3
