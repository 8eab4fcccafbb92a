"""`POST /api/v1/s3/alert`: a 202 is kept, once; a bad body is not kept, and all its errors are listed."""

import gzip
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

ID = "587c0159a907346eccb84004"
AT_MS = 1_484_661_060_000
KEY = f"webhooks/2017/01/17/13/51/{ID}"
PATH = "/api/v1/s3/alert"


def alert(alert_id: Any = ID, **more: Any) -> dict[str, Any]:
    return {"id": alert_id, "title": "login", "created_at": AT_MS, "severity": 1, **more}


def is_empty(gateway: Any) -> bool:
    listed = gateway.get(f"{PATH}?start=1970-01-01T00:00:00Z&end=9999-12-31T00:00:00Z").get_json()
    return not gateway.kept() and not listed["alerts"]


def test_an_alert_is_accepted_and_then_archived_verbatim(gateway: Any) -> None:
    """202 says how many and which; the object is the alert's own bytes under the key of its time."""
    raw = b'{ "id":"%s","created_at": %d, "new_field": 1.10, "title":"\\u00e9" }' % (ID.encode(), AT_MS)

    answer = gateway.post(PATH, data=b'{"alerts": [' + raw + b"]}", content_type="application/json")
    gateway.wait_until_idle()

    assert (answer.status_code, answer.get_json()) == (
        202,
        {"success": True, "accepted": 1, "duplicates": 0, "ids": [ID]},
    )
    assert gateway.kept() == [KEY]
    assert gateway.read(KEY) == raw


def test_who_waits_is_answered_when_all_is_archived(gateway: Any) -> None:
    answer = gateway.send(alert(), alert("b"))

    assert answer.status_code == 200
    assert answer.get_json() == {"success": True, "accepted": 2, "duplicates": 0, "ids": [ID, "b"], "archived": 2}
    assert len(gateway.kept()) == 2


def test_a_duplicate_that_waits_learns_of_the_first_ones_end(gateway: Any) -> None:
    gateway.send(alert())

    answer = gateway.send(alert())

    assert (answer.status_code, answer.get_json()["archived"]) == (200, 1)


def test_a_wait_that_is_over_first_is_a_202(serve: Any, threat_stack: Any) -> None:
    """The alert is as safe as any; the sender need not send it again."""
    threat_stack.tell(fault="stall")
    gateway = serve(threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url)

    answer = gateway.send(alert(), wait=0.1)

    assert answer.status_code == 202
    assert "archived" not in answer.get_json()
    threat_stack.stop()


@pytest.mark.parametrize("wait", ["31", "-1", "soon", "nan", "inf"])
def test_an_invalid_wait_is_refused(gateway: Any, wait: str) -> None:
    answer = gateway.post(f"{PATH}?wait={wait}", json={"alerts": [alert()]})

    assert answer.status_code == 422
    assert is_empty(gateway)


def test_an_alert_is_stored_once_however_often_it_is_sent(gateway: Any) -> None:
    """Also when its JSON is written another way: white space, order and escapes are no other content."""
    sent = {"alerts": [alert(title="é")]}
    texts = [
        json.dumps(sent),
        json.dumps(sent, indent=3, ensure_ascii=False),
        json.dumps({"alerts": [dict(reversed(sent["alerts"][0].items()))]}),
    ]

    answers = [gateway.post(f"{PATH}?wait=20", data=text, content_type="application/json") for text in texts]

    assert [answer.get_json()["duplicates"] for answer in answers] == [0, 1, 1]
    assert gateway.kept() == [KEY]


def test_one_request_may_name_an_alert_twice(gateway: Any) -> None:
    answer = gateway.send(alert(), alert())

    assert answer.get_json() == {"success": True, "accepted": 1, "duplicates": 1, "ids": [ID, ID], "archived": 1}


def test_other_content_under_an_id_is_a_version_and_the_newest_is_read_back(gateway: Any) -> None:
    """Nothing is overwritten: it stands beside the first under the first 8 hex digits of its SHA-256."""
    gateway.send(alert())
    gateway.send(alert(title="changed"))

    first, second = gateway.kept()
    assert first == KEY
    assert second == f"{KEY}~{hashlib.sha256(gateway.read(second)).hexdigest()[:8]}"
    assert gateway.get(f"{PATH}/{ID}").get_json()["alert"]["title"] == "changed"
    listed = gateway.get(f"{PATH}?start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z").get_json()["alerts"]
    assert [one["title"] for one in listed] == ["changed"]


def test_the_time_is_an_integer_or_its_digits(gateway: Any) -> None:
    """Threat Stack's own webhooks carry the digits in a string."""
    gateway.send(alert("number"), alert("digits", created_at=str(AT_MS)), alert("epoch", created_at=0))

    assert gateway.kept() == [
        "webhooks/1970/01/01/00/00/epoch",
        "webhooks/2017/01/17/13/51/digits",
        "webhooks/2017/01/17/13/51/number",
    ]


def test_the_end_of_the_year_9999_is_the_last_time(gateway: Any) -> None:
    last = 253_402_300_799_999

    assert gateway.send(alert("last", created_at=last)).status_code == 200
    assert gateway.send(alert("after", created_at=last + 1)).status_code == 422
    assert gateway.kept() == ["webhooks/9999/12/31/23/59/last"]


_DEEP = b'{"alerts":[{"id":"a","created_at":1,"x":' + b"[" * 64 + b"]" * 64 + b"}]}"
NOT_JSON = {
    "nothing": b"",
    "half": b'{"alerts": [{"id": "a", "created',
    "not utf-8": b'{"alerts": [{"id": "a", "created_at": 1, "t": "\xff"}]}',
    "latin-1": '{"alerts": [{"id": "a", "created_at": 1, "t": "é"}]}'.encode("latin-1"),
    "utf-16": '{"alerts": [{"id": "a", "created_at": 1}]}'.encode("utf-16"),
    "a key twice": b'{"alerts": [{"id": "a", "id": "b", "created_at": 1}]}',
    "a key twice, escaped": b'{"alerts": [{"id": "a", "\\u0069d": "b", "created_at": 1}]}',
    "NaN": b'{"alerts": [{"id": "a", "created_at": 1, "x": NaN}]}',
    "infinity": b'{"alerts": [{"id": "a", "created_at": 1, "x": -Infinity}]}',
    "too deep": _DEEP,
    "a megabyte of [": b"[" * 1_000_000,
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"alerts": [{"id": "a", "created_at": 1}]}',
    "a lone surrogate": b'{"alerts": [{"id": "a", "created_at": 1, "t": "\\ud800"}]}',
    "two documents": b'{"alerts": [{"id": "a", "created_at": 1}]}{}',
    "a comma at the end": b'{"alerts": [{"id": "a", "created_at": 1},]}',
    "gzip": gzip.compress(b'{"alerts": [{"id": "a", "created_at": 1}]}'),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_a_400(gateway: Any, name: str) -> None:
    answer = gateway.post(PATH, data=NOT_JSON[name], content_type="application/json")

    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert is_empty(gateway)


WRONG: dict[str, tuple[Any, list[str]]] = {
    "no object": ([], [""]),
    "text": ("alerts", [""]),
    "no alerts": ({"alert": []}, ["/alerts"]),
    "none": ({"alerts": []}, ["/alerts"]),
    "no list": ({"alerts": {"id": "a", "created_at": 1}}, ["/alerts"]),
    "nothing in it": ({"alerts": [{}]}, ["/alerts/0/id", "/alerts/0/created_at"]),
    "all at once": (
        {"alerts": [alert("../x"), alert("b", created_at="soon"), 7, alert("ok")]},
        ["/alerts/0/id", "/alerts/1/created_at", "/alerts/2"],
    ),
    "ids": (
        {"alerts": [alert(one) for one in ("", "a/b", "a" * 129, "é", "a\n", ".", "a b", "%2e", "~")]},
        [f"/alerts/{at}/id" for at in range(9)],
    ),
    "an id that is no text": ({"alerts": [alert(7), alert(None)]}, ["/alerts/0/id", "/alerts/1/id"]),
    "times": (
        {"alerts": [alert("a", created_at=one) for one in (-1, 1.5, True, None, "1e3", " 1", "-1", "٣", "", [1])]},
        [f"/alerts/{at}/created_at" for at in range(10)],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_the_wrong_shape_is_a_422_with_every_fault_and_nothing_is_stored(gateway: Any, name: str) -> None:
    document, pointers = WRONG[name]

    answer = gateway.post(PATH, json=document)

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert [one["pointer"] for one in answer.get_json()["errors"]] == pointers
    assert all(one["detail"] for one in answer.get_json()["errors"])
    assert answer.get_json()["success"] is False
    assert is_empty(gateway)


def test_a_body_that_is_too_large_is_a_413(serve: Any) -> None:
    gateway = serve(max_body_bytes=1000)

    answer = gateway.post(PATH, json={"alerts": [alert(title="x" * 1000)]})

    assert answer.status_code == 413
    assert is_empty(gateway)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "x"])
def test_another_content_type_is_a_415(gateway: Any, kind: str) -> None:
    answer = gateway.post(PATH, data=json.dumps({"alerts": [alert()]}), content_type=kind)

    assert answer.status_code == 415
    assert is_empty(gateway)


@pytest.mark.parametrize("kind", [None, "application/json", "application/JSON; charset=utf-8"])
def test_a_missing_content_type_is_read_as_json(gateway: Any, kind: str | None) -> None:
    answer = gateway.post(PATH, data=json.dumps({"alerts": [alert()]}), content_type=kind)

    assert answer.status_code == 202


def test_another_charset_is_a_415(gateway: Any) -> None:
    body = json.dumps({"alerts": [alert()]}).encode("utf-16")

    assert gateway.post(PATH, data=body, content_type="application/json; charset=utf-16").status_code == 415


def test_a_locked_database_is_a_503_that_says_when_and_never_a_false_202(serve: Any, tmp_path: Path) -> None:
    """Nothing of it is kept; sent again when the lock is gone, it is."""
    gateway = serve(db_busy_s="0.2")
    gateway.send(alert("before"))
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        answer = gateway.post(PATH, json={"alerts": [alert()]})
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.content_type == "application/problem+json"
    assert "test.db" not in answer.text
    assert gateway.send(alert()).get_json()["accepted"] == 1


def test_a_database_that_has_lost_its_tables_is_a_500(gateway: Any, tmp_path: Path) -> None:
    """What is wrong is for the log: a fault of the service is not reported as a moment's outage."""
    with sqlite3.connect(tmp_path / "test.db") as other:
        other.execute("ALTER TABLE archive_items RENAME TO away")
    other.close()

    answer = gateway.post(PATH, json={"alerts": [alert()]})

    assert answer.status_code == 500
    assert "archive_items" not in answer.text


def test_a_database_whose_file_is_removed_or_replaced_is_never_a_false_202(gateway: Any, tmp_path: Path) -> None:
    """What is written to a file without a name is gone with the process; a backup that is put back is used at once."""
    assert gateway.post(f"{PATH}?wait=10", json={"alerts": [alert("before")]}).status_code == 200
    with sqlite3.connect(tmp_path / "test.db") as source, sqlite3.connect(tmp_path / "backup") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    for path in tmp_path.glob("test.db*"):
        path.unlink()

    assert gateway.post(PATH, json={"alerts": [alert("lost")]}).status_code >= 500

    for path in tmp_path.glob("test.db-*"):
        path.unlink()
    (tmp_path / "backup").replace(tmp_path / "test.db")
    assert gateway.post(PATH, json={"alerts": [alert("after")]}).status_code == 202
    with sqlite3.connect(tmp_path / "test.db") as seen:
        assert {name for (name,) in seen.execute("SELECT item_id FROM archive_items")} == {"before", "after"}
    seen.close()
