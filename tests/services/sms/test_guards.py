"""Pumping: codes are refused to ranges of numbers, to a client, and where codes are never entered."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.services.sms.kit import MakeService, Service, outbox

from carboy.errors import ConfigurationError


def _number(last: int, block: int = 1381234) -> str:
    return f"+86{block}{last:04}"


def _ask(service: Service, receiver: str, **more: str) -> int:
    return service.post("/api/otp", {"receiver": receiver, **more}).status_code


def _enter(service: Service, receiver: str) -> None:
    service.run_jobs()
    code = outbox(service)[-1]["params"]["code"]
    assert service.post("/api/otp/verify", {"receiver": receiver, "code": code}).status_code == 200


def test_a_range_of_numbers_gets_so_many(make_service: MakeService) -> None:
    """Whichever of its numbers; another range is another matter, and time heals."""
    service = make_service(sms_prefix_limits="3/60s,4/h")
    assert [_ask(service, _number(last)) for last in range(4)] == [202, 202, 202, 429]
    assert _ask(service, _number(1, 1391234)) == 202

    refused = service.post("/api/otp", {"receiver": _number(9)})
    assert refused.json is not None
    assert refused.headers["Retry-After"] == "60"
    assert refused.json["detail"].startswith("SMS_PREFIX_LIMITS")
    service.clock.advance(60)
    assert [_ask(service, _number(last)) for last in (10, 11)] == [202, 429]
    metrics = service.client.get("/metrics").text
    assert 'carboy_sms_guarded_total{guard="prefix"} 3' in metrics
    assert 'carboy_sms_codes_total{country="CN",what="sent"} 5' in metrics


def test_a_request_with_many_numbers_counts_them_all(make_service: MakeService) -> None:
    """Only of templates with codes; the fault points at the numbers."""
    service = make_service(sms_prefix_limits="3/60s")
    numbers = [_number(last) for last in range(4)]

    assert service.send(receivers=numbers).status_code == 202
    refused = service.send(receivers=[_number(0, 1391234), *numbers], template="captcha", params={"code": "1"})
    assert refused.json is not None
    assert refused.status_code == 429
    assert [one["pointer"] for one in refused.json["errors"]] == [f"/receivers/{place}" for place in (1, 2, 3, 4)]
    assert service.send(receivers=numbers[:3], template="captcha", params={"code": "1"}).status_code == 202


def test_a_refusal_points_at_the_numbers_as_the_body_has_them(make_service: MakeService) -> None:
    """Whatever stands before them: a test number, a number that is there twice; and whatever the body's form."""
    service = make_service(sms_prefix_limits="1/60s", sms_test_numbers="+15005550006")
    assert _ask(service, _number(0)) == 202
    shared = {"template": "captcha", "params": {"code": "1"}}
    numbers = ["+15005550006", _number(1, 1391234), _number(1, 1391234), _number(2)]
    own = [{"receiver": _number(2), "params": {"code": "1"}}]

    refused = [
        service.post("/api/sms", {"receivers": numbers, **shared}),
        service.post("/api/sms", {"receivers": f"{_number(2)},{_number(3)}", **shared}),
        service.post("/api/sms", {"messages": own, "template": "captcha"}),
        service.post("/api/otp", {"receiver": _number(2)}),
    ]

    found = [[one["pointer"] for one in answer.get_json()["errors"]] for answer in refused]
    assert found == [["/receivers/3"], ["/receivers"], ["/messages/0/receiver"], ["/receiver"]]


@pytest.mark.slow
def test_a_client_gets_so_many(make_service: MakeService) -> None:
    """The one that the caller names; without a name, the one that calls without a key. A /64 is one client."""
    service = make_service(sms_client_limits="2/60s")
    named = [_ask(service, _number(last), client_ip="203.0.113.7") for last in range(3)]
    six = [_ask(service, _number(last, 1391234), client_ip=f"2001:db8::{last + 1}") for last in range(3)]
    unnamed = [_ask(service, _number(last, 1371234)) for last in range(3)]

    assert named == six == unnamed == [202, 202, 429]
    assert _ask(service, _number(7), client_ip="nobody") == 422


@pytest.mark.slow
def test_a_range_that_enters_none_of_its_codes_is_refused(make_service: MakeService) -> None:
    """While codes of others are entered; a day later it is judged again."""
    service = make_service(sms_conversion_min="0.5", sms_conversion_after="3")
    for last in range(4):
        assert _ask(service, _number(last, 1391234)) == 202
        _enter(service, _number(last, 1391234))
    assert [_ask(service, _number(last)) for last in range(4)] == [202, 202, 202, 429]
    assert _ask(service, _number(9, 1391234)) == 202

    service.clock.advance(86_400)
    assert _ask(service, _number(5)) == 202


def test_who_enters_no_codes_here_is_not_judged(make_service: MakeService) -> None:
    """Codes may be checked elsewhere, or nothing may work at all: that is not pumping."""
    service = make_service(sms_conversion_min="0.5", sms_conversion_after="1")
    assert [_ask(service, _number(last, block)) for last in range(3) for block in (1381234, 1391234)] == [202] * 6


@pytest.mark.parametrize(("profile", "limits"), [("test", ("off",)), ("prod", ("20/60s", "60/h"))])
def test_the_guards_stand_where_it_matters(make_service: MakeService, profile: str, limits: tuple[str, ...]) -> None:
    """On a developer's machine pumping earns nothing."""
    guarded = {"auth": "on", "secret_key": "x" * 32, "sms_countries": "CN"} if profile == "prod" else {}
    service = make_service(profile=profile, sms_provider="outbox", **guarded)
    settings = service.gateway.settings

    assert settings.sms_prefix_limits == limits
    assert (settings.sms_conversion_min > 0) is (profile == "prod")


def test_limits_that_cannot_be_read_stop_the_start(make_service: MakeService) -> None:
    """Each by its name."""
    with pytest.raises(ConfigurationError) as caught:
        make_service(sms_prefix_limits="many", sms_client_limits="1/x", sms_conversion_min="5")
    assert {one.pointer for one in caught.value.faults} == {
        "SMS_PREFIX_LIMITS",
        "SMS_CLIENT_LIMITS",
        "SMS_CONVERSION_MIN",
    }


def test_a_replayed_key_is_answered_before_every_limit(make_service: MakeService) -> None:
    """Six times the same answer; the range and the client have used one."""
    service = make_service(sms_prefix_limits="3/60s", sms_receiver_limits="1/60s", sms_daily_budget=2)
    key = {"Idempotency-Key": "k"}
    captcha: dict[str, Any] = {"receivers": _number(1), "template": "captcha", "params": {"code": "1"}}
    answers = [service.send(headers=key, **captcha) for _ in range(6)]
    assert [one.status_code for one in answers] == [202] * 6
    assert len({one.text for one in answers}) == 1
    assert service.send(receivers=_number(2), template="captcha", params={"code": "1"}).status_code == 202


@pytest.mark.slow
def test_a_refused_request_counts_nowhere(make_service: MakeService) -> None:
    """One number that asks in a loop does not lock its range of ten thousand."""
    service = make_service(sms_prefix_limits="3/60s", sms_client_limits="3/60s")
    asked = [_ask(service, _number(1), client_ip="203.0.113.7") for _ in range(25)]
    assert asked == [202] + [429] * 24
    assert _ask(service, _number(2), client_ip="203.0.113.7") == 202
    service = make_service(sms_prefix_limits="3/60s", sms_daily_budget=1)
    assert [_ask(service, _number(last, 1371234)) for last in range(3)] == [202, 429, 429]


def test_a_request_that_one_guard_refuses_is_not_counted_by_another(make_service: MakeService) -> None:
    """The client's limit refuses; the range has room for others all the same."""
    service = make_service(sms_prefix_limits="3/60s", sms_client_limits="1/60s")
    asked = [_ask(service, _number(last), client_ip="203.0.113.7") for last in range(5)]
    assert asked == [202, 429, 429, 429, 429]
    assert [_ask(service, _number(last), client_ip=f"198.51.100.{last}") for last in (6, 7)] == [202, 202]


def test_many_at_once_keep_a_range_s_limit(make_service: MakeService) -> None:
    """Checked and counted in one transaction."""
    service = make_service(sms_prefix_limits="5/60s")

    def ask(last: int) -> int:
        return service.app.test_client().post("/api/otp", json={"receiver": _number(last)}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(24))) == [202] * 5 + [429] * 19
