"""The Threat Stack API's client, against a stand-in that checks keys and signatures, and against servers that lie."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.lab.threat_stack import ThreatStack as StandIn
from tests.lab.threat_stack_api import Control

from carboy.config import Rate
from carboy.errors import ConfigurationError, InvalidInput, Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.net import Limits
from carboy.retry import Retry
from carboy.services.archive.pacer import Pacer
from carboy.services.archive.threatstack import ThreatStack, hawk_header
from carboy.testing.answers import Answer, Cut, Drip, Raw, Stall, Step, come_back_later, json_answer, redirect
from carboy.testing.clock import ManualClock
from carboy.testing.http_server import LoopbackServer, closed_port

ALERT = "587c0159a907346eccb84004"
START_MS = 1484661060000
MINUTE_MS = 60_000


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


def client_of(stand_in: StandIn, version: int = 1, **options: Any) -> ThreatStack:
    control = Control()
    if version == 1:
        return ThreatStack(stand_in.base_url, control.api_key, **options)
    options = {"user_id": control.user_id, "organization_id": control.organization_id, **options}
    return ThreatStack(stand_in.base_url_v2, control.api_key, version=2, **options)


def client_on(server: LoopbackServer, **options: Any) -> ThreatStack:
    return ThreatStack(f"{server.url}/api/v1", "s3cret-key", limits=Limits(1, 0.2, 1, 100_000), **options)


def test_hawk_signs_as_published() -> None:
    """The scheme's own example."""
    header = hawk_header(
        "GET",
        "http://example.com:8000/resource/1?b=1&a=2",
        "dh37fgj492je",
        "werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn",
        "some-app-ext-data",
        at_s=1353832234,
        nonce="j4h3g2",
    )

    assert header == (
        'Hawk id="dh37fgj492je", ts="1353832234", nonce="j4h3g2", ext="some-app-ext-data", '
        'mac="6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="'
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_detail_is_fetched(stand_in: StandIn, version: int) -> None:
    """By the bare key, or signed by Hawk, which the stand-in verifies; over one connection."""
    client = client_of(stand_in, version)

    for _ in range(3):
        assert json.loads(client.fetch(ALERT))["id"] == ALERT
    assert stand_in.connections == 1


def test_a_detail_is_the_very_bytes_of_the_answer(server: LoopbackServer) -> None:
    """Spaces, digits and unknown fields included."""
    body = b'{ "x":1.10, "id" :"' + ALERT.encode() + b'"\n}'
    server.script(Answer(200, body))

    assert client_on(server).fetch(ALERT) == body


def test_the_organization_goes_along(server: LoopbackServer) -> None:
    """Version 1 takes it as a header; the key is bare."""
    server.script(json_answer({"id": ALERT}))
    client_on(server, organization_id="545d").fetch(ALERT)

    [request] = server.requests
    assert request.target == f"/api/v1/alerts/{ALERT}"
    assert (request.headers["authorization"], request.headers["organization"]) == ("s3cret-key", "545d")


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Answer(401), Refused),
        (Answer(403), Refused),
        (Answer(400), Refused),
        (redirect("http://evil.example/"), Refused),
        (Answer(404), Missing),
        (Answer(429), Throttled),
        (come_back_later(503, 7), Throttled),
        (Answer(500), Unreachable),
        (Answer(503), Unreachable),
        (Answer(409), Unreachable),
        (Answer(204), Unreachable),
        (Answer(200), Unreachable),
        (Answer(200, b"<html>"), Unreachable),
        (Answer(200, b'{"id": "587c"'), Unreachable),
        (Answer(200, b'{"id": "other"}'), Unreachable),
        (Answer(200, b'{"id": 7}'), Unreachable),
        (Answer(200, b"[]"), Unreachable),
        (Answer(200, b'{"id": "\xff"}'), Unreachable),
        (Answer(200, b"[" * 90_000), Unreachable),
        (Answer(200, b"x" * 100_001), Refused),
        (Cut("start"), Unreachable),
        (Cut("start", reset=True), Unreachable),
        (Cut("headers"), Unreachable),
        (Cut("body", json_answer({"id": ALERT})), Unreachable),
        (Raw(), Unreachable),
        (Stall(), Unreachable),
        (Stall("body", json_answer({"id": ALERT})), Unreachable),
        (Drip(Answer(200, b"x" * 1000), every_s=0.05), Unreachable),
    ],
)
def test_each_fault_has_its_error(server: LoopbackServer, step: Step, error: type[UpstreamError]) -> None:
    """What a job does next depends on it; no message holds the key, and the next call works."""
    server.script(step)
    client = client_on(server)

    with pytest.raises(error) as caught:
        client.fetch(ALERT)
    assert isinstance(caught.value, error)
    assert caught.value.hint
    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    server.script(json_answer({"id": ALERT}))
    assert client.fetch(ALERT)


def test_a_server_that_is_away_is_unreachable() -> None:
    """Nothing listens."""
    with closed_port() as port, pytest.raises(Unreachable):
        ThreatStack(f"http://127.0.0.1:{port}", "key").fetch(ALERT)


@pytest.mark.parametrize("as_date", [False, True])
def test_the_time_to_stay_away_is_reported(server: LoopbackServer, as_date: bool) -> None:
    """In seconds or as a date."""
    clock = ManualClock()
    server.script(come_back_later(429, 17, as_date, now_s=clock.now_ms() / 1000))

    with pytest.raises(Throttled) as caught:
        client_on(server, clock=clock).fetch(ALERT)
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("alert_id", ["", "../agents", "a/b", "a?b", "a b"])
def test_an_id_that_leads_elsewhere_is_not_asked_for(server: LoopbackServer, alert_id: str) -> None:
    """Nothing is sent."""
    with pytest.raises(InvalidInput):
        client_on(server).fetch(alert_id)
    assert not server.requests


def test_a_rate_is_kept(stand_in: StandIn) -> None:
    """Two a second: each waits for its turn, and a wait that is too long is refused with a time to retry."""
    clock = ManualClock()
    client = client_of(stand_in, bucket=Pacer(Rate(2, 1), clock), patience_s=0.5, clock=clock)

    for _ in range(5):
        client.fetch(ALERT)
    assert clock.waits == [0.5] * 4
    assert clock.monotonic_s() == 2.0


def test_a_caller_that_would_wait_too_long_gets_a_time_to_retry(stand_in: StandIn) -> None:
    """Without asking the API."""
    clock = ManualClock()
    client = client_of(stand_in, bucket=Pacer(Rate(1, 60), clock), patience_s=5, clock=clock)
    client.fetch(ALERT)

    with pytest.raises(Throttled) as caught:
        client.fetch(ALERT)
    assert caught.value.retry_after_s == 60
    assert stand_in.calls[ALERT] == 1


def test_when_one_is_asked_to_stay_away_all_do(server: LoopbackServer) -> None:
    """The bucket stands still for as long as the API asked."""
    clock = ManualClock()
    server.script(come_back_later(429, 30), json_answer({"id": ALERT}))
    client = client_on(server, bucket=Pacer(Rate(100, 1), clock), clock=clock)

    for _ in range(2):
        with pytest.raises(Throttled) as caught:
            client.fetch(ALERT)
        assert caught.value.retry_after_s == 30
    assert len(server.requests) == 1
    clock.advance(30)
    client.fetch(ALERT)


@pytest.mark.parametrize("version", [1, 2])
def test_a_list_is_of_a_range(stand_in: StandIn, version: int) -> None:
    """From its start, before its end, over all its pages, each with its bytes."""
    ids = stand_in.api.add_alerts(260, START_MS, MINUTE_MS)

    found = list(client_of(stand_in, version).list(START_MS + MINUTE_MS, START_MS + 251 * MINUTE_MS))

    assert [alert.id for alert in found] == ids[1:251]
    assert [alert.created_at_ms for alert in found] == [START_MS + number * MINUTE_MS for number in range(1, 251)]
    assert all(json.loads(alert.raw)["id"] == alert.id for alert in found)
    assert not list(client_of(stand_in, version).list(0, MINUTE_MS))


def test_dismissed_alerts_are_listed_too(server: LoopbackServer) -> None:
    """Version 2 wants to be asked for each; the token goes along."""
    alert = {"id": "a", "createdAt": "2017-01-17T13:51:00.000Z"}
    server.script(
        json_answer({"alerts": [alert], "token": "t/1"}),
        json_answer({"alerts": [{**alert, "id": "b"}], "token": None}),
        json_answer({"alerts": [{**alert, "id": "c"}]}),
    )
    client = ThreatStack(server.url, "key", version=2, user_id="u", organization_id="o")

    assert [alert.id for alert in client.list(START_MS, START_MS + 1)] == ["a", "b", "c"]
    asked = [(request.query["status"], request.query.get("token")) for request in server.requests]
    assert asked == [("active", None), ("active", "t/1"), ("dismissed", None)]


def test_a_list_whose_pages_repeat_ends(server: LoopbackServer) -> None:
    """A server that does not know `page` is not asked for ever; one that says 404 for empty is understood."""
    page = json_answer([{"id": "a", "created_at": START_MS}])
    server.script(page, page, Answer(404))

    assert [alert.id for alert in client_on(server).list(START_MS, START_MS + 1)] == ["a"]
    assert list(client_on(server).list(START_MS, START_MS + 1)) == []
    assert [request.query["page"] for request in server.requests] == ["0", "1", "0"]
    assert server.requests[0].query["start"] == "2017-01-17T13:51:00Z"
    assert server.requests[0].query["end"] == "2017-01-17T13:51:01Z"


@pytest.mark.parametrize(
    ("created_at", "is_in"),
    [
        *((START_MS, True), (str(START_MS), True), ("2017-01-17T13:51:00.000Z", True), ("2017-01-17T13:51:00", True)),
        *(
            ("2017-01-17T14:51:00+01:00", True),
            (None, True),
            ("soon", True),
            (START_MS - 1, False),
            (START_MS + 1, False),
        ),
    ],
)
def test_a_time_is_read_however_it_is_written(server: LoopbackServer, created_at: object, is_in: bool) -> None:
    """What cannot be read is listed, at the start of the range: better once too often than lost."""
    server.script(json_answer([{"id": "a", "created_at": created_at}]), json_answer([]))

    found = [alert.created_at_ms for alert in client_on(server).list(START_MS, START_MS + 1)]

    assert found == ([START_MS] if is_in else [])


def test_a_page_is_tried_again(server: LoopbackServer) -> None:
    """After as long as the API asked; nothing is left out and nothing of the page before comes again."""
    clock = ManualClock()
    pages = [json_answer([{"id": name, "created_at": START_MS}]) for name in "ab"]
    server.script(pages[0], Answer(500), come_back_later(429, 30), Cut("body", pages[1]), pages[1], json_answer([]))

    found = [alert.id for alert in client_on(server, clock=clock).list(START_MS, START_MS + 1)]

    assert found == ["a", "b"]
    assert 30 in clock.waits


def test_a_list_gives_up_in_the_end(server: LoopbackServer) -> None:
    """After its tries, and at once where trying is of no use."""
    clock = ManualClock()
    server.script(*[Answer(500)] * 3, Answer(401))
    client = client_on(server, clock=clock, retry=Retry(attempts=3))

    with pytest.raises(Unreachable):
        list(client.list(0, 1))
    with pytest.raises(Refused):
        list(client.list(0, 1))
    assert len(server.requests) == 4


@pytest.mark.parametrize("answer", [b"{}", b"7", b'[{"id": "../x"}]', b'[{"no": 1}]', b"[1]"])
def test_a_list_of_anything_else_is_no_list(server: LoopbackServer, answer: bytes) -> None:
    """Nothing else is read as an alert."""
    server.script(*[Answer(200, answer)] * 3)

    with pytest.raises(Unreachable):
        list(client_on(server, clock=ManualClock(), retry=Retry(attempts=1)).list(0, 1))


@pytest.mark.parametrize("version", [1, 2])
def test_a_ping_asks_for_next_to_nothing(stand_in: StandIn, version: int) -> None:
    """And says how long it took."""
    assert client_of(stand_in, version).ping() >= 0


def test_any_number_of_probes_cost_one_call(server: LoopbackServer) -> None:
    """A status page that is watched does not burn the rate."""
    clock = ManualClock()
    server.script(json_answer([]), Answer(401), json_answer([]))
    client = client_on(server, clock=clock, ping_ttl_s=60)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.ping(), range(40)))
    assert len(server.requests) == 1
    clock.advance(60)
    for _ in range(3):
        with pytest.raises(Refused):
            client.ping()
    assert len(server.requests) == 2
    clock.advance(60)
    client.ping()


def test_threads_share_connections(stand_in: StandIn) -> None:
    """As many as there are threads, for any number of calls."""
    client = client_of(stand_in, 2, pool_size=4)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(client.fetch, [f"{number:024x}" for number in range(200)]))

    assert [json.loads(detail)["id"] for detail in found] == [f"{number:024x}" for number in range(200)]
    assert stand_in.connections <= 4


def test_cookies_are_not_kept(server: LoopbackServer) -> None:
    """One call says nothing to the next."""
    server.script(*[json_answer({"id": ALERT}, headers={"Set-Cookie": "a=1"})] * 2)
    client = client_on(server)
    client.fetch(ALERT)
    client.fetch(ALERT)

    assert "cookie" not in server.requests[1].headers


def test_every_wrong_setting_is_reported_at_once() -> None:
    """And none of their values, which may be secrets."""
    with pytest.raises(ConfigurationError) as caught:
        ThreatStack("app.threatstack.com", "s3cret\n", version=3, user_id='"', organization_id="")

    assert [fault.pointer for fault in caught.value.faults] == [
        *("threatstack_base_url", "threatstack_api_key", "threatstack_api_version", "threatstack_user_id"),
    ]
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        ThreatStack("https://api.threatstack.com/v2", "key", version=2)
    assert len(caught.value.faults) == 2
