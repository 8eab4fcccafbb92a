"""Reading back: by id, by range, as a stream; what the detail is; replay; status."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from carboy.testing.answers import Answer
from carboy.testing.clock import ManualClock
from carboy.testing.http_server import closed_port

PATH = "/api/v1/s3/alert"
AT_MS = 1_484_661_060_000
ID = "587c0159a907346eccb84004"


def alert(alert_id: str = ID, at_ms: int = AT_MS, **more: Any) -> dict[str, Any]:
    return {"id": alert_id, "title": "login", "created_at": at_ms, **more}


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.get_json()["alerts"]]


def between(start_ms: int, end_ms: int, **more: Any) -> str:
    return f"{PATH}?start={iso(start_ms)}&end={iso(end_ms)}" + "".join(
        f"&{name}={value}" for name, value in more.items()
    )


def test_an_alert_is_read_back_by_its_id(gateway: Any) -> None:
    gateway.send(alert(extra=[1, {"é": None}]))

    answer = gateway.get(f"{PATH}/{ID}")

    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == {"success": True, "alert": alert(extra=[1, {"é": None}]), "detail": "off"}


@pytest.mark.parametrize("alert_id", ["unknown", "a" * 128])
def test_an_alert_that_never_came_is_a_404(gateway: Any, alert_id: str) -> None:
    answer = gateway.get(f"{PATH}/{alert_id}")

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("alert_id", ["a" * 129, "a%20b", "%00", "..%2f..", "~", "é"])
def test_what_can_be_no_id_is_refused(gateway: Any, alert_id: str) -> None:
    assert gateway.get(f"{PATH}/{alert_id}").status_code in {404, 422}


def test_an_accepted_alert_can_be_read_before_it_is_archived(fetching: Any, threat_stack: Any) -> None:
    """Its detail is pending; the webhook's copy is what there is."""
    threat_stack.tell(fault=503, fault_s=60, retry_after_s=60)
    fetching.post(PATH, json={"alerts": [alert()]})

    answer = fetching.get(f"{PATH}/{ID}").get_json()

    assert answer == {"success": True, "alert": alert(), "detail": "pending"}
    assert ids(fetching.get(between(AT_MS, AT_MS + 1))) == [ID]


def test_the_full_alert_is_fetched_and_read_back(fetching: Any, threat_stack: Any) -> None:
    fetching.send(alert())

    answer = fetching.get(f"{PATH}/{ID}").get_json()

    assert "detail" not in answer
    assert answer["alert"]["agent_id"]
    assert fetching.kept() == [f"alerts/58/7c/{ID}", f"webhooks/2017/01/17/13/51/{ID}"]
    assert json.loads(fetching.read(f"alerts/58/7c/{ID}")) == answer["alert"]
    assert ids(fetching.get(between(AT_MS, AT_MS + 1))) == [ID]
    assert threat_stack.calls == {ID: 1}


def test_an_alert_that_the_api_does_not_know_is_missing_in_the_end(serve: Any, threat_stack: Any) -> None:
    """The webhook's copy stays, and `detail` says why there is no more."""
    threat_stack.tell(missing_ids=[ID])
    gateway = serve(
        threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url, threatstack_missing_for="0s"
    )

    assert gateway.send(alert()).status_code == 200
    assert gateway.get(f"{PATH}/{ID}").get_json() == {"success": True, "alert": alert(), "detail": "missing"}


def test_an_alert_that_cannot_be_read_at_once_is_asked_for_again(serve: Any, threat_stack: Any) -> None:
    threat_stack.tell(unreadable_calls=1)
    gateway = serve(
        threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url, threatstack_missing_for="0.3s"
    )

    assert gateway.send(alert()).status_code == 200
    assert "detail" not in gateway.get(f"{PATH}/{ID}").get_json()
    assert threat_stack.calls == {ID: 2}


def test_a_range_holds_its_start_and_not_its_end(gateway: Any) -> None:
    """Oldest first, for any order of arrival."""
    gateway.send(*(alert(f"a{offset}", AT_MS + offset) for offset in (2, 0, 3, 1)))

    assert ids(gateway.get(between(AT_MS, AT_MS + 3))) == ["a0", "a1", "a2"]
    assert ids(gateway.get(between(AT_MS + 1, AT_MS + 2))) == ["a1"]
    assert ids(gateway.get(between(AT_MS + 1, AT_MS + 1))) == []


def test_an_offset_is_taken_into_account(gateway: Any) -> None:
    """A `+` that was not encoded is read as what it was."""
    gateway.send(alert())
    at = "2017-01-17T14:51:00"

    for plus in ("%2B", "+"):
        assert ids(gateway.get(f"{PATH}?start={at}{plus}01:00&end={at}.001{plus}01:00")) == [ID]
    assert ids(gateway.get(f"{PATH}?start={at}-00:00&end={at}.001-00:00")) == []


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("start=2017-01-17T00:00:00&end=2017-01-18T00:00:00Z", ["start"]),
        ("start=2017-01-17&end=soon", ["start", "end"]),
        ("start=2017-01-18T00:00:00Z&end=2017-01-17T00:00:00Z", ["end"]),
        ("start=2017-01-17T00:00:00Z", ["end"]),
        ("", ["start", "end"]),
        ("start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z&limit=0", ["limit"]),
        ("start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z&limit=1001", ["limit"]),
        ("start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z&limit=many", ["limit"]),
        ("start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z&cursor=x", ["cursor"]),
        ("start=2017-01-17T00:00:00Z&end=2017-01-18T00:00:00Z&order=desc", ["order"]),
        ("start=0000-01-17T00:00:00Z&end=99999-01-18T00:00:00Z", ["start", "end"]),
    ],
)
def test_an_invalid_range_is_a_422_with_every_fault(gateway: Any, query: str, pointers: list[str]) -> None:
    answer = gateway.get(f"{PATH}?{query}")

    assert answer.status_code == 422
    named = [one["pointer"].rpartition("/")[2] for one in answer.get_json()["errors"]]
    assert named == pointers


def test_a_range_is_read_by_pages(gateway: Any) -> None:
    """Each alert once, also where many have the same time."""
    wanted = [f"a{number:02}" for number in range(25)]
    gateway.send(*(alert(name, AT_MS + number // 10) for number, name in enumerate(wanted)))

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        page = gateway.get(between(AT_MS, AT_MS + 100, limit=7, **more))
        seen += ids(page)
        cursor = page.get_json()["next"]

    assert seen == wanted


@pytest.mark.slow
def test_a_cursor_stands_while_alerts_come_in(gateway: Any) -> None:
    gateway.send(*(alert(f"a{number}", AT_MS + number) for number in range(4)))
    first = gateway.get(between(AT_MS, AT_MS + 100, limit=2)).get_json()
    gateway.send(alert("early", AT_MS), alert("late", AT_MS + 50))

    rest = gateway.get(between(AT_MS, AT_MS + 100, cursor=first["next"]))

    assert ids(rest) == ["a2", "a3", "late"]


def test_a_range_is_filtered(gateway: Any) -> None:
    gateway.send(
        alert("one", severity=1, organization_id="o1", source="Host"),
        alert("two", severity="2", organization_id="o1", source="CloudTrail"),
        alert("three", severity=2, organization_id="o2", source="Host"),
    )

    def found(**more: Any) -> list[str]:
        return ids(gateway.get(between(AT_MS, AT_MS + 1, **more)))

    assert found(severity=2) == ["two", "three"]
    assert found(organization_id="o1") == ["one", "two"]
    assert found(source="Host") == ["one", "three"]
    assert found(severity=2, source="Host") == ["three"]
    assert found(severity="'; DROP TABLE archive_items; --") == []


def test_an_empty_archive_has_an_empty_range(gateway: Any) -> None:
    answer = gateway.get(between(0, AT_MS))

    assert answer.get_json() == {"success": True, "alerts": [], "next": None}


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/x-ndjson, application/json;q=0.5"])
def test_all_of_a_range_is_streamed_as_lines(gateway: Any, accept: str) -> None:
    """Without a limit, one document a line, also one that came with line breaks in it."""
    gateway.post(
        PATH, data=b'{"alerts": [{"id": "a",\n "created_at": 1484661060000}]}', content_type="application/json"
    )
    gateway.send(*(alert(f"b{number:04}", AT_MS + 1) for number in range(1200)))

    answer = gateway.get(between(AT_MS, AT_MS + 2), headers={"Accept": accept})

    assert (answer.status_code, answer.content_type) == (200, "application/x-ndjson")
    lines = answer.data.decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", *(f"b{number:04}" for number in range(1200))]


def test_the_status_is_200_with_each_latency(fetching: Any) -> None:
    told = fetching.get("/api/v1/s3/status")

    assert told.status_code == 200
    assert told.get_json()["success"] is True
    for part in ("s3", "threatstack"):
        assert told.get_json()[part]["ok"] is True
        assert told.get_json()[part]["latency_ms"] >= 0


def test_the_status_is_503_with_the_reason(serve: Any) -> None:
    with closed_port() as port:
        gateway = serve(threatstack_api_key="k", threatstack_base_url=f"http://127.0.0.1:{port}/api/v1")
        told = gateway.get("/api/v1/s3/status")

    assert told.status_code == 503
    assert told.get_json()["success"] is False
    assert told.get_json()["s3"]["ok"] is True
    assert told.get_json()["threatstack"]["reason"]


def test_a_refused_key_is_a_status_too(serve: Any, threat_stack: Any) -> None:
    gateway = serve(threatstack_api_key="wrong", threatstack_base_url=threat_stack.base_url)

    told = gateway.get("/api/v1/s3/status")

    assert told.status_code == 503
    assert "401" in told.get_json()["threatstack"]["reason"]


def test_replay_fetches_and_archives_again(serve: Any, loopback: Any) -> None:
    """What has changed is a new version beside the first, and the one that is read back."""
    loopback.script(Answer(200, b'{"id": "a", "v": 1}'), Answer(200, b'{"id": "a", "v": 2}'))
    gateway = serve(threatstack_api_key="k", threatstack_base_url=f"{loopback.url}/api/v1")
    gateway.send(alert("a"))

    answer = gateway.post(f"{PATH}/a/replay")
    gateway.wait_until_idle()

    assert (answer.status_code, answer.get_json()) == (202, {"success": True, "id": "a"})
    assert gateway.get(f"{PATH}/a").get_json()["alert"]["v"] == 2
    kept = gateway.kept("alerts/")
    assert kept[0] == "alerts/a_/__/a"
    assert kept[1].startswith("alerts/a_/__/a~")


def test_a_replay_that_brings_nothing_keeps_what_is_known(serve: Any, loopback: Any) -> None:
    """The API no longer knows the alert: the full alert that was archived is the one that is read back."""
    loopback.script(Answer(200, b'{"id": "a", "v": 1}'), *[Answer(404)] * 20)
    gateway = serve(
        threatstack_api_key="k", threatstack_base_url=f"{loopback.url}/api/v1", threatstack_missing_for="0s"
    )
    gateway.send(alert("a"))

    assert gateway.post(f"{PATH}/a/replay").status_code == 202
    gateway.wait_until_idle()

    assert gateway.get(f"{PATH}/a").get_json() == {"success": True, "alert": {"id": "a", "v": 1}}


def test_replay_of_what_never_came_is_a_404(gateway: Any) -> None:
    assert gateway.post(f"{PATH}/unknown/replay").status_code == 404


def test_an_object_that_is_gone_is_reported_and_is_no_500(gateway: Any) -> None:
    """The object was deleted from the bucket."""
    gateway.send(alert())
    for key in gateway.kept():
        gateway.archive.store.delete(key)

    gone = gateway.get(f"{PATH}/{ID}")
    assert (gone.status_code, gone.get_json()["detail"]) == (200, "expired")
    [listed] = gateway.get(between(AT_MS, AT_MS + 1)).get_json()["alerts"]
    assert (listed["id"], listed["created_at"]) == (ID, AT_MS)
    assert "none under that key" in listed["unreadable"]


def test_the_archive_is_a_check_of_readyz(gateway: Any) -> None:
    assert "object store" in gateway.get("/readyz").get_json()["checks"]


def test_old_alerts_wait_for_a_clock_that_goes_back(serve: Any) -> None:
    """An alert keeps its own time; the local clock does not matter."""
    gateway = serve(clock=ManualClock(0))

    assert gateway.send(alert()).status_code == 200
    assert ids(gateway.get(between(AT_MS, AT_MS + 1))) == [ID]
