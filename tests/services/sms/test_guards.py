"""Codes that look pumped are refused: to ranges of numbers, by one client, and where nobody enters them."""

import pytest
from tests.services.sms.conftest import MakeService, Service, outbox

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


def test_a_client_gets_so_many(make_service: MakeService) -> None:
    """The one that the caller names; without a name, the one that calls without a key. A /64 is one client."""
    service = make_service(sms_client_limits="2/60s")
    named = [_ask(service, _number(last), client_ip="203.0.113.7") for last in range(3)]
    six = [_ask(service, _number(last, 1391234), client_ip=f"2001:db8::{last + 1}") for last in range(3)]
    unnamed = [_ask(service, _number(last, 1371234)) for last in range(3)]

    assert named == six == unnamed == [202, 202, 429]
    assert _ask(service, _number(7), client_ip="nobody") == 422


def test_a_range_that_enters_none_of_its_codes_is_refused(make_service: MakeService) -> None:
    """While those of others are entered; a day later it is judged anew."""
    service = make_service(sms_conversion_min="0.5", sms_conversion_after="3")
    for last in range(4):
        assert _ask(service, _number(last, 1391234)) == 202
        _enter(service, _number(last, 1391234))
    assert [_ask(service, _number(last)) for last in range(4)] == [202, 202, 202, 429]
    assert _ask(service, _number(9, 1391234)) == 202

    service.clock.advance(86_400)
    assert _ask(service, _number(5)) == 202


def test_who_enters_no_codes_here_is_not_judged(make_service: MakeService) -> None:
    """Codes may be checked elsewhere, or nothing works at all: that is nobody's pumping."""
    service = make_service(sms_conversion_min="0.5", sms_conversion_after="1")
    assert [_ask(service, _number(last, block)) for last in range(3) for block in (1381234, 1391234)] == [202] * 6


@pytest.mark.parametrize(("profile", "limits"), [("test", ("off",)), ("prod", ("20/60s", "60/h"))])
def test_the_guards_stand_where_it_matters(make_service: MakeService, profile: str, limits: tuple[str, ...]) -> None:
    """On a developer's machine nobody earns from texts."""
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
