import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection, IncompleteRead
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.threat_stack import ThreatStack, threat_stack_process
from tests.lab.threat_stack_api import (
    Control,
    ThreatStackApi,
    hawk_mac,
    invent_alert,
    invent_alert_id,
    invent_webhook,
)

from carboy.http_values import parse_retry_after
from carboy.testing.answers import Answer, Cut, Request, Stall, Step
from carboy.testing.clock import ManualClock

ALERT = "587c0159a907346eccb84004"
KEY = {"authorization": "test-api-key"}


def make_api(clock: ManualClock, **control: Any) -> ThreatStackApi:
    return ThreatStackApi(Control(**control), wall_s=lambda: clock.now_ms() / 1000, monotonic_s=clock.monotonic_s)


def get(api: ThreatStackApi, target: str = f"/api/v1/alerts/{ALERT}", headers: dict[str, str] = KEY) -> Answer:
    step = api.answer(Request("GET", target, headers))
    assert isinstance(step, Answer)
    return step


def statuses(api: ThreatStackApi, times: int) -> list[int]:
    return [get(api).status for _ in range(times)]


def hawk(target: str, clock: ManualClock, **changes: str) -> dict[str, str]:
    control = Control()
    given = {
        "id": control.user_id,
        "ts": str(clock.now_ms() // 1000),
        "nonce": "j4h3g2",
        "ext": control.organization_id,
        **changes,
    }
    mac = hawk_mac(
        control.api_key,
        stamp=given["ts"],
        nonce=given["nonce"],
        method="GET",
        target=target,
        host="127.0.0.1",
        port="8080",
        ext=given["ext"],
    )
    fields = ", ".join(f'{name}="{value}"' for name, value in {"mac": mac, **given}.items())
    return {"authorization": f"Hawk {fields}", "host": "127.0.0.1:8080"}


def test_the_hawk_mac_is_that_of_the_published_vector() -> None:
    """Source: github.com/mozilla/hawk, API.md."""
    mac = hawk_mac(
        "werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn",
        stamp="1353832234",
        nonce="j4h3g2",
        method="GET",
        target="/resource/1?b=1&a=2",
        host="example.com",
        port="8000",
        ext="some-app-ext-data",
    )

    assert mac == "6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="


@given(st.text("0123456789abcdef", min_size=24, max_size=24))
def test_an_alert_is_the_same_each_time(alert_id: str) -> None:
    """For any id; its time is the one in the id, as in every ObjectId."""
    alert = invent_alert(alert_id)

    assert alert == invent_alert(alert_id)
    assert alert["id"] == alert_id
    assert alert["created_at"] == int(alert_id[:8], 16) * 1000


def test_a_webhook_is_a_summary_with_strings() -> None:
    """As Threat Stack sends it in practice."""
    alert_id = invent_alert_id(1_484_661_060_000)

    alerts = json.loads(invent_webhook(alert_id))["alerts"]

    assert [alert["id"] for alert in alerts] == [alert_id]
    assert alerts[0]["created_at"] == "1484661060000"
    assert all(isinstance(value, str) for value in alerts[0].values())


def test_version_1_wants_its_key() -> None:
    """Bare, in `Authorization`."""
    api = make_api(ManualClock())

    assert get(api).status == 200
    assert get(api, headers={}).status == 401
    assert get(api, headers={"authorization": "Bearer test-api-key"}).status == 401
    assert api.calls[ALERT] == 3


def test_version_2_wants_hawk() -> None:
    """Signed over method, path, query, host, port and ext."""
    clock = ManualClock()
    target = f"/v2/alerts/{ALERT}?a=1"

    assert get(make_api(clock), target, hawk(target, clock)).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"mac": "AAAA"},
        {"id": "somebody"},
        {"ext": "another-organisation"},
        {"ts": "1699999000"},
        {"ts": "tomorrow"},
        {"nonce": ""},
    ],
    ids=str,
)
def test_a_wrong_hawk_header_is_refused(changes: dict[str, str]) -> None:
    """Each field counts."""
    clock = ManualClock()
    target = f"/v2/alerts/{ALERT}"

    assert get(make_api(clock), target, hawk(target, clock, **changes)).status == 401


def test_a_nonce_is_good_once() -> None:
    """And a signature for one path is not valid for another."""
    clock = ManualClock()
    api = make_api(clock)
    target = f"/v2/alerts/{ALERT}"

    answers = [get(api, target, hawk(target, clock)).status for _ in range(2)]

    assert answers == [200, 401]
    assert get(api, "/v2/alerts/other", hawk(target, clock, nonce="fresh")).status == 401


def test_a_fault_lasts_for_so_many_calls() -> None:
    """Then all is well again."""
    api = make_api(ManualClock(), fault=429, fault_calls=2, retry_after_s=9)

    first = get(api)

    assert first.status == 429
    assert first.headers["Retry-After"] == "9"
    assert first.headers["x-rate-limit-remaining"] == "0"
    assert statuses(api, 3) == [429, 200, 200]


def test_a_fault_lasts_for_so_long() -> None:
    """By the clock it was given."""
    clock = ManualClock()
    api = make_api(clock, fault=500, fault_s=10)

    before = statuses(api, 3)
    clock.advance(10)

    assert before == [500, 500, 500]
    assert statuses(api, 1) == [200]


def test_a_retry_after_can_be_a_date() -> None:
    """Counted from its own clock."""
    clock = ManualClock()
    api = make_api(clock, fault=503, retry_after_s=30, retry_after_is_date=True)

    assert parse_retry_after(get(api).headers["Retry-After"], clock.now_ms() / 1000) == 30


def test_a_fresh_alert_is_not_readable_at_once() -> None:
    """Each id on its own; one that does not exist never is."""
    api = make_api(ManualClock(), unreadable_calls=2, missing_ids=("gone",))

    assert statuses(api, 3) == [404, 404, 200]
    assert [get(api, "/api/v1/alerts/gone").status for _ in range(4)] == [404] * 4


def test_its_own_rate_limit_answers_429_above() -> None:
    """Refilled as time goes on."""
    clock = ManualClock()
    api = make_api(clock, rate_per_s=2)

    burst = statuses(api, 3)
    clock.advance(1)

    assert burst == [200, 200, 429]
    assert statuses(api, 3) == [200, 200, 429]


@pytest.mark.parametrize(
    ("fault", "step"), [("stall", Stall()), ("cut", Cut("body")), ("reset", Cut("start", reset=True))]
)
def test_it_stalls_and_cuts(fault: str, step: Step) -> None:
    """For every client."""
    api = make_api(ManualClock())
    api.tell(fault=fault)

    assert api.answer(Request("GET", f"/api/v1/alerts/{ALERT}", KEY)) == step


def test_telling_one_thing_leaves_the_others_as_they_were() -> None:
    """A fault goes on counting; the next one begins without the old one's count."""
    api = make_api(ManualClock(), fault=500, fault_calls=2)

    first = get(api)
    api.tell(latency_s=0.01)
    then = statuses(api, 2)
    api.tell(fault=503)

    assert [first.status, *then] == [500, 500, 200]
    assert statuses(api, 3) == [503, 503, 503]


@pytest.mark.parametrize("target", ["/", "/v1/alerts/x", "/api/v2/alerts/x", "/api/v1/alertsx", "/api/v1/alerts/a/b"])
def test_what_the_api_does_not_have_is_404(target: str) -> None:
    """Also where it looks alike."""
    assert get(make_api(ManualClock()), target).status == 404


def test_telling_nonsense_is_an_error() -> None:
    """A misspelt fault would else be none at all."""
    with pytest.raises(ValueError, match="no such control: fualt"):
        make_api(ManualClock()).tell(fualt=500)


def test_the_list_of_version_1_is_paged() -> None:
    """A bare array, from `start` inclusive to `end` exclusive, oldest first."""
    api = make_api(ManualClock())
    ids = api.add_alerts(5, start_ms=1_600_000_000_000, every_ms=60_000)
    span = "start=2020-09-13T12:26:40Z&end=2020-09-13T12:30:40Z"

    pages = [json.loads(get(api, f"/api/v1/alerts?{span}&count=3&page={page}").body) for page in range(3)]

    assert [[alert["id"] for alert in page] for page in pages] == [ids[:3], ids[3:4], []]
    assert json.loads(get(api, "/api/v1/alerts?count=1&fields=id,severity").body)[0].keys() == {"id", "severity"}


def test_the_list_of_version_2_goes_by_tokens() -> None:
    """Until the token is null."""
    clock = ManualClock()
    api = make_api(clock)
    ids = api.add_alerts(250, start_ms=1_600_000_000_000)
    seen: list[str] = []
    token: str | None = ""
    pages = 0

    while token is not None:
        until = quote(datetime.fromtimestamp(1_700_000_000, UTC).isoformat())
        target = f"/v2/alerts?status=active&from=2020-01-01&until={until}" + (f"&token={token}" if token else "")
        page = json.loads(get(api, target, hawk(target, clock, nonce=f"n{pages}")).body)
        seen += [alert["id"] for alert in page["alerts"]]
        token, pages = page["token"], pages + 1

    assert seen == ids
    assert pages == 3


def test_it_serves_over_http(threat_stack: ThreatStack) -> None:
    """At the address that a client is given."""
    with closing(HTTPConnection("127.0.0.1", threat_stack.port, timeout=10)) as connection:
        connection.request("GET", f"/api/v1/alerts/{ALERT}", headers=KEY)
        alert = json.loads(connection.getresponse().read())
        threat_stack.tell(fault="cut")
        connection.request("GET", f"/api/v1/alerts/{ALERT}", headers=KEY)
        with pytest.raises(IncompleteRead):
            connection.getresponse().read()

    assert alert == invent_alert(ALERT)
    assert threat_stack.calls == {ALERT: 2}


def test_it_runs_in_a_process_of_its_own_and_is_controlled_from_here() -> None:
    """So that load does not share the interpreter under test."""
    with threat_stack_process("--api-key", "other") as server:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
            found = []
            for key in ("test-api-key", "other"):
                connection.request("GET", f"/api/v1/alerts/{ALERT}", headers={"Authorization": key})
                answer = connection.getresponse()
                answer.read()
                found.append(answer.status)
        report = server.tell(fault=500, fault_calls=3)
        with pytest.raises(ValueError, match="no such control"):
            server.tell(nonsense=1)
        listed = server.tell(add_alerts={"count": 2, "start_ms": 1_600_000_000_000})["alerts"]
        after = server.tell(forget=True)

    assert found == [401, 200]
    assert report["calls"] == {ALERT: 2}
    assert report["statuses"] == {"401": 1, "200": 1}
    assert listed == [invent_alert_id(1_600_000_000_000 + number * 60_000, number) for number in range(2)]
    assert (report["control"]["fault"], after["control"]["fault"], after["calls"]) == (500, None, {})


def test_the_process_ends_in_good_order() -> None:
    """On SIGTERM, with code 0."""
    command = [sys.executable, "-m", "tests.lab.threat_stack"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        os.kill(line["pid"], signal.SIGTERM)

        assert process.wait(30) == 0
    assert line["v1"] == f"http://127.0.0.1:{line['port']}/api/v1"
