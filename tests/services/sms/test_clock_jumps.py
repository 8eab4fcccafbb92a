"""The wall clock jumps while a process runs: what lasts so long is measured by the monotonic clock."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service, outbox

from carboy.jobs import Later
from carboy.jobs.job_rows import release_expired
from carboy.services.sms.callbacks import Callbacks
from carboy.testing import Answer, LoopbackServer

StandIn = Callable[..., SmsProvider]
HOUR_S = 3600.0
JUMPS = [-48 * HOUR_S, -HOUR_S, -2.0, 2.0, HOUR_S, 48 * HOUR_S]


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_provider_that_failed_is_skipped_for_as_long_as_the_setting_says(
    stand_in: StandIn, make_service: MakeService, jump_s: float
) -> None:
    service = make_service(stand_in("twilio", fault="account"), sms_circuit_s=30)
    service.sent_now(receivers="+14155550123")
    service.clock.jump(jump_s)
    service.clock.advance(1)
    assert circuit(service) == "open"
    service.clock.advance(28)
    assert circuit(service) == "open"
    service.clock.advance(2)
    assert circuit(service) == "half-open"


def circuit(service: Service) -> Any:
    found = service.client.get("/api/sms/providers").json
    assert found is not None
    return found["providers"][0]["circuit"]


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_receiver_of_call_backs_that_fails_is_left_alone_for_half_a_minute(
    make_service: MakeService, jump_s: float
) -> None:
    """After five failures in a row."""
    status = 500
    with LoopbackServer(lambda _: Answer(status)) as server:
        service = make_service()
        callbacks = Callbacks(lambda: service.gateway.settings, service.clock, lambda _: f"{server.url}/x")

        def deliver() -> object:
            return callbacks.deliver(1, {"id": "1", "sequence": 1, "at": 0, "state": "sent"}, 0)

        for _ in range(5):
            deliver()
        service.clock.jump(jump_s)
        service.clock.advance(28)
        with pytest.raises(Later):
            deliver()
        service.clock.advance(3)
        status = 204
        assert deliver() is None


@pytest.mark.parametrize(("jump_s", "status"), [(-48 * HOUR_S, 202), (-HOUR_S, 202), (-30.0, 429), (HOUR_S, 202)])
def test_a_receiver_s_limit_ends_though_the_clock_was_ahead(
    make_service: MakeService, jump_s: float, status: int
) -> None:
    """What was counted in a time that is not there yet does not count; a little earlier is the same minute."""
    service = make_service(sms_receiver_limits="1/60s", sms_prefix_limits="1/60s", sms_client_limits="1/60s")
    assert service.post("/api/otp", {"receiver": "+8613800000000"}).status_code == 202
    service.clock.jump(jump_s)
    answer = service.post("/api/otp", {"receiver": "+8613800000000"})
    assert answer.status_code == status
    assert int(answer.headers.get("Retry-After", 0)) <= 90


def test_a_range_is_judged_again_though_the_clock_was_ahead(make_service: MakeService) -> None:
    settings = {"sms_conversion_min": "0.5", "sms_conversion_after": "1", "sms_receiver_limits": "off"}
    service = make_service(**settings)
    service.clock.jump(400 * 24 * HOUR_S)
    service.post("/api/otp", {"receiver": "+8613900000000"})
    service.run_jobs()
    code = outbox(service)[-1]["params"]["code"]
    assert service.post("/api/otp/verify", {"receiver": "+8613900000000", "code": code}).status_code == 200
    assert service.post("/api/otp", {"receiver": "+8613800000000"}).status_code == 202
    assert service.post("/api/otp", {"receiver": "+8613800000001"}).status_code == 429
    service.clock.jump(-400 * 24 * HOUR_S)
    assert service.post("/api/otp", {"receiver": "+8613800000001"}).status_code == 202


@pytest.mark.parametrize("jump_s", [-48 * HOUR_S, -HOUR_S, HOUR_S])
@pytest.mark.slow
def test_providers_are_judged_each_minute_and_by_their_own_calls(
    stand_in: StandIn, make_service: MakeService, jump_s: float
) -> None:
    """The calls of a time that is not there yet count no more."""
    provider, other = stand_in("twilio"), stand_in("aws")
    service = make_service(provider, other, sms_circuit_s=0.01)

    def minute() -> dict[str, Any]:
        for _ in range(5):
            service.sent_now(receivers="+14155550123")
        service.clock.advance(61)
        found = service.client.get("/api/sms/providers").json
        assert found is not None
        first: dict[str, Any] = found["providers"][0]
        return first

    assert minute()["error_rate"] == 0.0
    service.clock.jump(jump_s)
    provider.tell(fault="error")
    for _ in range(3):
        minute()
    assert minute()["health"] < 1
    provider.tell(fault=None)
    last = [minute() for _ in range(40)][-1]
    assert (last["health"], last["error_rate"]) == (1, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("jump_s", JUMPS)
def test_what_other_processes_wrote_is_read_again_after_the_interval(make_service: MakeService, jump_s: float) -> None:
    """Here a provider that is taken out by hand."""
    one, other = make_service(), make_service()
    assert one.sent_now()["state"] == "sent"
    one.clock.jump(jump_s)
    other.gateway.dispatcher.traffic.take_out("outbox")
    one.clock.advance(3)
    assert one.gateway.dispatcher.traffic.is_out("outbox")


def test_a_message_that_waits_for_its_next_try_is_sent_though_the_clock_was_ahead(
    stand_in: StandIn, make_service: MakeService
) -> None:
    provider = stand_in("twilio", fault="throttle")
    service = make_service(provider)
    service.clock.jump(48 * HOUR_S)
    message = service.sent_now(receivers="+14155550123")
    assert message["state"] == "queued"
    service.clock.jump(-48 * HOUR_S)
    provider.tell(fault=None)
    service.held.writer.run(release_expired, (service.clock.now_ms(), ()))
    service.clock.advance(120)
    service.run_jobs()
    assert service.message(message["request"])["state"] == "sent"


@pytest.mark.slow
def test_a_message_that_a_clock_ahead_held_is_sent_when_it_is_not_quiet(make_service: MakeService) -> None:
    service = make_service(sms_quiet_hours={"transactional": "08:00-09:00"})
    service.clock.jump(48 * HOUR_S)
    message = service.sent_now(receivers="+8613800000000")
    assert message["state"] == "held"
    service.clock.jump(-47 * HOUR_S)
    service.held.writer.run(release_expired, (service.clock.now_ms(), ()))
    service.clock.advance(2 * HOUR_S)
    service.run_jobs()
    assert service.message(message["request"])["state"] == "sent"
