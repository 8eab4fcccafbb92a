"""Messages that are sent later, canceled, held in quiet hours, or too late."""

from typing import Any

import pytest
from tests.services.sms.kit import TEMPLATES, MakeService, Service, outbox

from carboy.clock import from_unix_ms
from carboy.services.sms.quiet_hours import QuietHours, ends_at_ms, quiet_faults, zones_of

EVENING = QuietHours(20 * 60, 8 * 60)
HOUR_S = 3600


def at(service: Service, seconds: float) -> str:
    return f"{from_unix_ms(service.clock.now_ms() + round(seconds * 1000)):%Y-%m-%dT%H:%M:%S.%fZ}"


def send(service: Service, **body: Any) -> str:
    answer = service.send(**body)
    assert answer.status_code == 202, answer.json
    assert answer.json is not None
    return str(answer.json["id"])


def test_a_scheduled_message_is_sent_once_at_its_time(service: Service) -> None:
    request = send(service, send_at=at(service, HOUR_S))
    assert service.message(request)["state"] == "scheduled"
    service.clock.advance(HOUR_S - 1)
    service.run_jobs()
    assert not outbox(service)
    service.clock.advance(2)
    service.run_jobs()
    service.run_jobs()
    assert len(outbox(service)) == 1
    assert service.message(request)["state"] == "sent"


def test_a_job_that_runs_too_early_sends_nothing(service: Service) -> None:
    """A clock that jumped ahead and back took the row too early."""
    from carboy.jobs import Later

    request = send(service, send_at=at(service, HOUR_S))
    message = int(service.message(request)["id"])
    with pytest.raises(Later) as caught:
        service.gateway.dispatcher.send(int(request), [message])
    assert caught.value.after_s == pytest.approx(HOUR_S, abs=1)
    assert not outbox(service)


def test_a_canceled_message_is_never_sent(service: Service) -> None:
    request = send(service, send_at=at(service, HOUR_S))
    answer = service.client.delete(f"/api/sms/{request}")
    assert (answer.status_code, answer.json["message"]) == (200, "canceled")  # type: ignore[index]
    assert service.client.delete(f"/api/sms/{request}").status_code == 200
    service.clock.advance(2 * HOUR_S)
    service.run_jobs()
    assert service.message(request)["state"] == "canceled"
    assert not outbox(service)


@pytest.mark.slow
def test_it_is_too_late_to_cancel_what_was_sent(service: Service) -> None:
    request = send(service)
    service.run_jobs()
    assert service.client.delete(f"/api/sms/{request}").status_code == 409
    assert service.client.delete("/api/sms/1").status_code == 404
    assert len(outbox(service)) == 1


def test_a_request_that_is_partly_sent_says_how_many_it_was_too_late_for(make_service: MakeService) -> None:
    """It is night in China: that message is held, the other one is gone."""
    service = make_service(sms_quiet_hours={"transactional": "08:00-09:00"})
    request = send(service, receivers=["+8613800000000", "+4915112345678"])
    service.run_jobs()
    answer, again = (service.client.delete(f"/api/sms/{request}") for _ in range(2))
    found = answer.json
    assert found is not None
    assert (answer.status_code, again.status_code, again.json) == (200, 200, found)
    assert (found["message"], found["canceled"], found["too_late"]) == ("partly sent", 1, 1)
    assert [one["state"] for one in found["messages"]] == ["canceled", "sent"]
    kept, sent = (one["id"] for one in found["messages"])
    assert service.client.delete(f"/api/sms/{sent}").status_code == 409
    assert service.client.delete(f"/api/sms/{kept}").json["too_late"] == 0  # type: ignore[index]


def test_one_message_of_a_request_can_be_canceled(service: Service) -> None:
    answer = service.send(receivers=["+14155550123", "+14155550124"], send_at=at(service, 60))
    assert answer.json is not None
    service.client.delete(f"/api/sms/{answer.json['messages'][0]['id']}")
    service.clock.advance(61)
    service.run_jobs()
    assert [line["receiver"] for line in outbox(service)] == ["+14155550124"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("send_at", "2026-01-01 00:00:00"),
        ("send_at", "tomorrow"),
        ("send_at", "2025-12-31T00:00:00Z"),
        ("send_at", "2026-02-01T00:00:00Z"),
        ("expires_after", "soon"),
        ("expires_after", "0s"),
        ("expires_after", "31d"),
        ("callback_url", "https://elsewhere.example/x"),
        ("callback_url", "ftp://hooks.example/x"),
        ("callback_url", "https://user:x@hooks.example/"),
        ("callback_url", "https://hooks.example/a b"),
        ("callback_url", "https://hooks.example/\n"),
        ("callback_url", "https://hooks.example\\@evil.example/"),
        ("callback_url", "https://hooks.example:99999/"),
        ("reference", ""),
        ("reference", "x" * 256),
        ("reference", "a\nb"),
    ],
)
def test_each_wrong_option_has_its_pointer(make_service: MakeService, name: str, value: str) -> None:
    service = make_service(sms_callback_hosts="hooks.example")
    options: dict[str, Any] = {name: value}
    answer = service.send(**options)
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["pointer"] for one in answer.json["errors"]] == [f"/{name}"]


def test_what_comes_too_late_expires(service: Service) -> None:
    request = send(service, expires_after="2s")
    service.clock.advance(3)
    service.run_jobs()
    message = service.message(request)
    assert (message["state"], message["provider_code"]) == ("expired", "expired")
    assert not outbox(service)


def quiet_service(make_service: MakeService, **settings: Any) -> Service:
    templates = {**TEMPLATES, "offer": {"kind": "marketing", "params": [], "text": "New"}}
    return make_service(sms_templates=templates, sms_quiet_hours={"marketing": "20:00-08:00"}, **settings)


def test_quiet_hours_hold_a_message_and_lose_none(make_service: MakeService) -> None:
    """The clock stands at midnight, UTC: 8 in the morning of Shanghai, 16 in California, 1 in Berlin."""
    service = quiet_service(make_service, sms_expires="10m")
    answer = service.send(receivers=["+8613800000000", "+4915112345678"], template="offer", params={})
    service.run_jobs()
    assert [line["receiver"] for line in outbox(service)] == ["+8613800000000"]
    assert answer.json is not None
    found = service.client.get(f"/api/sms/{answer.json['id']}").json
    assert found is not None
    held = next(one for one in found["messages"] if one["state"] == "held")
    assert held["due_at"] == "2026-01-01T07:00:00.000Z"
    service.clock.advance(7 * HOUR_S + 1)
    service.run_jobs()
    assert [line["receiver"] for line in outbox(service)] == ["+8613800000000", "+4915112345678"]


def test_a_held_message_that_has_a_limit_of_its_own_expires(make_service: MakeService) -> None:
    service = quiet_service(make_service)
    request = send(service, receivers="+4915112345678", template="offer", params={}, expires_after="1h")
    service.run_jobs()
    assert service.message(request)["state"] == "held"
    service.clock.advance(HOUR_S + 1)
    service.run_jobs()
    assert service.message(request)["state"] == "expired"


def test_a_held_message_can_be_canceled(make_service: MakeService) -> None:
    service = quiet_service(make_service)
    request = send(service, receivers="+4915112345678", template="offer", params={})
    service.run_jobs()
    assert service.client.delete(f"/api/sms/{request}").status_code == 200
    service.clock.advance(8 * HOUR_S)
    service.run_jobs()
    assert not outbox(service)


def test_other_kinds_are_sent_at_night(make_service: MakeService) -> None:
    service = quiet_service(make_service)
    assert service.sent_now(receivers="+4915112345678")["state"] == "sent"


@pytest.mark.parametrize(
    ("zone", "now", "end"),
    [
        ("Europe/Berlin", "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z"),  # clocks go forward in the night
        ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-25T07:00:00Z"),  # and back
        ("America/New_York", "2026-03-08T01:00:00Z", "2026-03-08T12:00:00Z"),
        ("Asia/Kolkata", "2026-01-01T15:00:00Z", "2026-01-02T02:30:00Z"),
        ("Asia/Shanghai", "2026-01-01T03:00:00Z", "2026-01-01T03:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z", "2026-04-04T21:30:00Z"),  # back by half an hour
        ("Australia/Lord_Howe", "2026-10-03T10:00:00Z", "2026-10-03T21:00:00Z"),  # and forward
        ("Australia/Adelaide", "2026-04-04T10:00:00Z", "2026-04-04T22:30:00Z"),
        ("America/St_Johns", "2026-03-08T00:00:00Z", "2026-03-08T10:30:00Z"),
        ("Asia/Kathmandu", "2026-01-01T16:00:00Z", "2026-01-02T02:15:00Z"),
        ("Pacific/Chatham", "2026-04-04T08:00:00Z", "2026-04-04T19:15:00Z"),
        ("Africa/Casablanca", "2026-02-14T23:00:00Z", "2026-02-15T08:00:00Z"),  # Ramadan: an hour back
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_receivers_wall(zone: str, now: str, end: str) -> None:
    from carboy.http_values import parse_query_time

    assert ends_at_ms(EVENING, (zone,), parse_query_time(now)) == parse_query_time(end)


def test_an_end_that_the_clock_skips_ends_after_the_gap() -> None:
    from carboy.http_values import parse_query_time

    quiet = QuietHours(22 * 60, 2 * 60 + 30)  # 02:30 does not exist in Berlin that night
    found = ends_at_ms(quiet, ("Europe/Berlin",), parse_query_time("2026-03-29T00:00:00Z"))
    assert found == parse_query_time("2026-03-29T01:00:00Z")


def test_a_number_without_a_certain_zone_waits_for_the_last() -> None:
    from carboy.http_values import parse_query_time

    both = ("America/New_York", "America/Los_Angeles")
    assert ends_at_ms(EVENING, both, parse_query_time("2026-01-01T13:30:00Z")) == parse_query_time(
        "2026-01-01T16:00:00Z"
    )
    assert zones_of("+8613800000000") == ("Asia/Shanghai",)
    assert zones_of("+99999999") == ("UTC",)


@pytest.mark.parametrize(
    "table", [{"news": "20:00-08:00"}, {"otp": "8-20"}, {"otp": "25:00-08:00"}, {"otp": "08:00-08:00"}]
)
def test_wrong_quiet_hours_are_a_fault_of_the_start(table: dict[str, str]) -> None:
    assert [one.pointer for one in quiet_faults(table)] == ["SMS_QUIET_HOURS"]


def numbers_of(service: Service) -> list[str | None]:
    """Return the numbers that the database has."""
    with service.held.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT receiver FROM sms_messages ORDER BY id")]


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_a_message_that_waits_for_longer_than_the_retention_is_sent(make_service: MakeService, own: bool) -> None:
    """Its number and its parameters are kept until then, and from then on for as long as those of any message."""
    service = make_service(sms_retention="7d")
    params = {"name": "Li", "day": "Monday"}
    whom = {"messages": [{"receiver": "+8613800000000", "params": params}]} if own else {"receivers": "+8613800000000"}
    body = {"template": "notice", "send_at": "2026-01-20T00:00:00Z", **whom, **({} if own else {"params": params})}
    answer = service.post("/api/sms", body).json
    assert answer is not None
    for _ in range(19):
        service.clock.advance(24 * HOUR_S)
        service.gateway.upkeep.run()
    service.run_jobs()
    assert service.message(answer["id"])["state"] == "sent"
    assert outbox(service)[0]["text"] == "Hello Li, see you on Monday"
    service.clock.advance(6 * 24 * HOUR_S)
    service.gateway.upkeep.run()
    assert numbers_of(service) == ["+8613800000000"]
    service.clock.advance(25 * HOUR_S)
    service.gateway.upkeep.run()
    assert numbers_of(service) == [None]


def test_a_message_that_is_held_for_longer_than_the_retention_is_sent(make_service: MakeService) -> None:
    """That of a receiver for whom it is day loses nothing of the other's."""
    service = quiet_service(make_service, sms_retention="2h")
    send(service, receivers=["+8613800000000", "+4915112345678"], template="offer", params={})
    service.run_jobs()
    service.clock.advance(5 * HOUR_S)
    service.gateway.upkeep.run()
    assert sorted(map(str, numbers_of(service))) == ["+4915112345678", "None"]
    service.clock.advance(2 * HOUR_S + 1)
    service.run_jobs()
    assert [line["receiver"] for line in outbox(service)] == ["+8613800000000", "+4915112345678"]


def test_a_scheduled_message_that_was_canceled_is_forgotten_as_any_other(make_service: MakeService) -> None:
    service = make_service(sms_retention="7d")
    request = send(service, send_at="2026-01-20T00:00:00Z")
    assert service.client.delete(f"/api/sms/{request}").status_code == 200
    service.clock.advance(7 * 24 * HOUR_S + 1)
    service.gateway.upkeep.run()
    assert numbers_of(service) == [None]


def test_a_message_whose_job_was_lost_does_not_keep_its_number(service: Service) -> None:
    """No message waits for longer than `send_at` and `expires_after` may say."""
    send(service, send_at="2026-01-31T00:00:00Z", expires_after="30d")
    with service.held.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM carboy_jobs")
    service.clock.advance(91 * 24 * HOUR_S)
    service.gateway.upkeep.run()
    assert numbers_of(service) == ["+8613800000000"]
    service.clock.advance(2 * 24 * HOUR_S)
    service.gateway.upkeep.run()
    assert numbers_of(service) == [None]
    with service.held.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT params FROM sms_requests").scalar_one() is None
