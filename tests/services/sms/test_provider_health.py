"""Traffic moves away from a provider that does badly, comes back in steps, and does not go to and fro."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.sms_outages import World
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service

from carboy.errors import CarboyError
from carboy.services.sms.provider_health import Evidence, Health, relative, step
from carboy.services.sms.routing import draw_order, read_order, shares
from carboy.testing import LoopbackServer, json_answer

MINUTE_MS = 60_000

StandIn = Callable[..., SmsProvider]


@pytest.mark.parametrize("fault", ["silent", "errors"])
@pytest.mark.parametrize(
    ("outage", "per_minute", "part"),
    [(1, 5, 1.0), (1, 60, 1.0), (10, 60, 0.5), (60, 5, 0.5), (60, 60, 0.15), (360, 20, 0.06), (1440, 20, 0.05)],
)
@pytest.mark.slow
def test_fewer_messages_are_late_than_with_fixed_weights(fault: Any, outage: int, per_minute: int, part: float) -> None:
    """`part` of those with fixed weights at most; and in the end both have their whole share."""
    times, minutes = [(60, 60 + outage)], 60 + outage + 420
    fixed = World(times, per_minute, fault, is_adaptive=False).run(minutes)
    moved = World(times, per_minute, fault).run(minutes)
    assert moved.late <= part * fixed.late
    assert [one.factor for one in moved.healths] == [1.0, 1.0]


@pytest.mark.slow
def test_a_provider_that_comes_and_goes_loses_its_share_for_longer_each_time() -> None:
    """Five minutes of every fifteen: fixed weights make a third of its messages late."""
    times = [(minute, minute + 5) for minute in range(60, 24 * 60, 15)]
    fixed = World(times, 60, is_adaptive=False).run(24 * 60)
    moved = World(times, 60).run(24 * 60)
    assert moved.late < 0.1 * fixed.late
    assert moved.falls < len(times) / 3


@pytest.mark.parametrize("per_minute", [1, 5, 60])
@pytest.mark.slow
def test_chance_moves_nothing(per_minute: int) -> None:
    """Two days without an outage, in which 7 of 100 messages are late."""
    assert [World([], per_minute).run(2880, seed).falls for seed in range(3)] == [0, 0, 0]


def test_what_is_late_everywhere_moves_nothing() -> None:
    """A carrier's fault, or receipts that do not reach us."""
    bad = Evidence(100, 0, 100, 5)
    factors = {name: step(Health(usual=0.9), bad, MINUTE_MS).factor for name in ("a", "b")}
    assert relative(factors) == {"a": 1.0, "b": 1.0}


def test_a_provider_without_delivery_reports_is_judged_by_its_calls_alone() -> None:
    health = Health()
    for minute in range(60):
        health = step(health, Evidence(100, 0, 100, 0), minute * MINUTE_MS)
    assert health.factor == 1.0
    assert step(health, Evidence(100, 40), 0).reason == "40 of 100 calls failed"


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.floats(0, 1), st.integers(0, 500), st.floats(0, 1), st.integers(1, 10**7)),
        max_size=60,
    )
)
def test_a_factor_is_never_lost(given_evidence: list[tuple[int, float, int, float, int]]) -> None:
    """From a hundredth to all, whatever is seen; and without evidence it comes back."""
    health, now_ms = Health(), 0
    for calls, errors, judged, on_time, after_ms in given_evidence:
        now_ms += after_ms
        health = step(health, Evidence(calls, round(calls * errors), judged, round(judged * on_time)), now_ms)
        assert 0.01 <= health.factor <= 1
        assert bool(health.reason) == (health.factor < 1)
    for _ in range(12):
        now_ms += 3_840_001
        health = step(health, Evidence(), now_ms)
    assert health.factor == 1


@pytest.mark.slow
@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=6),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
    st.booleans(),
)
def test_shares_are_a_whole(weights: list[float], factors: list[float], is_weighted: bool) -> None:
    routes = read_order([f"p{at}:{weight}" if is_weighted else f"p{at}" for at, weight in enumerate(weights)])
    found = shares(routes, {f"p{at}": factor for at, factor in enumerate(factors)})
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0
    order = draw_order(routes, {f"p{at}": factor for at, factor in enumerate(factors)}, random.Random(1).random)
    assert sorted(order) == sorted(found)


def providers(service: Service) -> dict[str, dict[str, Any]]:
    found = service.client.get("/api/sms/providers").json
    assert found is not None
    return {one["name"]: one for one in found["providers"]}


def minute(service: Service, count: int = 5) -> None:
    """Send some messages, and let a minute pass."""
    for _ in range(count):
        service.sent_now(receivers="+14155550123")
    service.clock.advance(61)


@pytest.mark.slow
def test_traffic_leaves_a_provider_whose_calls_fail_and_comes_back(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """Every call is answered in a way that may or may not mean that it was sent."""
    first, second = stand_in("twilio", fault="error"), stand_in("aws")
    service = make_service(first, second, sms_circuit_s=1)
    seen = []
    for _ in range(6):
        minute(service, 2)
        seen.append(providers(service))
    worst = min(seen, key=lambda one: float(one["twilio"]["health"]))
    assert worst["twilio"]["health"] == 0.25
    assert "calls failed" in worst["twilio"]["health_reason"]
    assert (worst["twilio"]["share"], worst["aws"]["share"], worst["aws"]["health"]) == (0.25, 0.75, 1)
    first.tell(fault=None)
    for _ in range(15):
        minute(service, 1)
    found = providers(service)
    assert (found["twilio"]["health"], found["twilio"]["share"], found["twilio"]["health_reason"]) == (1, 1, None)


@pytest.mark.slow
def test_traffic_leaves_a_provider_that_takes_messages_and_delivers_none(
    stand_in: StandIn, make_service: MakeService
) -> None:
    first, second = stand_in("huawei"), stand_in("tencent")
    service = make_service(first, second, sms_receipt_tokens="tok", sms_provider="huawei:1,tencent:1")

    def deliver(stand: SmsProvider, begin: int) -> int:
        for sent in stand.sent[begin:]:
            content_type, body = stand.receipt(sent)
            service.client.post(f"/api/sms/receipts/{stand.kind}/tok", data=body, content_type=content_type)
        return len(stand.sent)

    at = {first.kind: 0, second.kind: 0}
    for minutes, is_down in ((4, False), (5, True)):
        for _ in range(minutes):
            for _ in range(50):
                service.send(receivers="+8613800000000")
            service.run_jobs()
            service.clock.advance(1)
            for stand in (second,) if is_down else (first, second):
                at[stand.kind] = deliver(stand, at[stand.kind])
            service.clock.advance(60)
    found = providers(service)
    assert found["huawei"]["health"] < 0.1
    assert "delivered within 60 s, usually" in found["huawei"]["health_reason"]
    assert (found["tencent"]["health"], found["tencent"]["on_time_rate"]) == (1, 1)


@pytest.mark.slow
def test_a_provider_that_was_taken_out_gets_nothing_until_it_is_put_back(
    stand_in: StandIn, make_service: MakeService
) -> None:
    first, second = stand_in("twilio"), stand_in("aws")
    service, other = make_service(first, second), make_service(first, second)
    taken = service.client.post("/api/sms/providers/twilio/out")
    assert (taken.status_code, taken.json["share"]) == (200, 0)  # type: ignore[index]
    other.clock.advance(3)
    assert {other.sent_now(receivers="+14155550123")["provider"] for _ in range(5)} == {"aws"}
    service.clock.advance(40 * 86_400)  # the state of circuits is forgotten after a day
    assert service.sent_now(receivers="+14155550123")["provider"] == "aws"
    assert providers(service)["twilio"]["out_since"] == "2026-01-01T00:00:00.000Z"
    assert service.client.get("/readyz").json["status"] != "degraded"  # type: ignore[index]
    back = service.client.post("/api/sms/providers/twilio/back")
    assert (back.status_code, back.json["share"], back.json["out_since"]) == (200, 1, None)  # type: ignore[index]
    assert service.sent_now(receivers="+14155550123")["provider"] == "twilio"
    assert service.client.post("/api/sms/providers/nobody/out").status_code == 404


def test_messages_for_a_provider_that_is_out_wait(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("twilio"))
    service.client.post("/api/sms/providers/twilio/out")
    assert service.client.get("/readyz").json["status"] == "degraded"  # type: ignore[index]
    answer = service.send(receivers="+14155550123").json
    assert answer is not None
    service.run_jobs()
    assert service.message(answer["id"])["state"] == "queued"
    service.client.post("/api/sms/providers/twilio/back")
    service.clock.advance(6)
    service.run_jobs()
    assert service.message(answer["id"])["state"] == "sent"


@pytest.mark.slow
def test_balances_are_asked_for_and_shown(stand_in: StandIn, make_service: MakeService) -> None:
    first, second, third = stand_in("twilio", balance=12.5), stand_in("tencent", balance=1900), stand_in("aws")
    service = make_service(first, second, third)
    service.sent_now(receivers="+14155550123")
    service.run_jobs()
    at = "2026-01-01T00:00:00.000Z"
    found = providers(service)
    assert found["twilio"]["balance"] == {"amount": 12.5, "unit": "USD", "at": at}
    assert found["tencent"]["balance"] == {"amount": 1900, "unit": "messages", "at": at}
    assert found["aws"]["balance"] is None
    first.tell(fault="error")
    service.clock.advance(601)
    service.sent_now(receivers="+14155550123")
    service.run_jobs()
    assert providers(service)["twilio"]["balance"] == {"amount": 12.5, "unit": "USD", "at": at}


def test_the_doctor_asks_providers_about_their_accounts(stand_in: StandIn, make_service: MakeService) -> None:
    """Those that report a balance; of the others it says that they were not asked."""
    service = make_service(stand_in("twilio"), stand_in("aws"))

    assert service.held.doctor_checks["sms providers"]() == (
        "twilio: the account was accepted; aws: not asked, no error so far"
    )


def test_the_doctor_finds_an_account_that_is_refused(stand_in: StandIn, make_service: MakeService) -> None:
    """As Twilio refuses a wrong token; and a provider that does not answer."""
    refusal = json_answer({"code": 20003, "message": "Authenticate"}, 401)
    with LoopbackServer(refusal) as twilio:
        service = make_service(stand_in("twilio"), twilio_url=twilio.url)
        with pytest.raises(CarboyError, match=r"twilio: it refused the account \(HTTP 401\)"):
            service.held.doctor_checks["sms providers"]()
    with pytest.raises(CarboyError, match="twilio: it could not be reached"):
        service.held.doctor_checks["sms providers"]()
    service.held.dependencies["sms providers"]()  # `/readyz` asks nobody
