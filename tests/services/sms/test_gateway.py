"""What callers see: accepting, answering, listing, idempotency, limits, budgets, one-time passwords."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service, outbox

from carboy.errors import ConfigurationError
from carboy.services.sms.tables import CODES, MESSAGES, REQUESTS


def test_health_is_what_its_users_know(service: Service) -> None:
    assert service.client.get("/api/health").json == {"message": "ok"}


def test_an_accepted_text_is_answered_as_the_contract_says(service: Service) -> None:
    answer = service.send(receivers="+8613800000000,+8613900000000,+8613800000000")
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["message"] == "accepted"
    shown = [(one["receiver"], one["state"]) for one in answer.json["messages"]]
    assert shown == [("+86138****0000", "queued"), ("+86139****0000", "queued")]


def test_an_accepted_text_is_sent_once(service: Service) -> None:
    assert service.sent_now()["state"] == "sent"
    service.run_jobs()
    [line] = outbox(service)
    assert line["receiver"] == "+8613800000000"
    assert line["text"] == "Hello Li, see you on Monday"


def test_every_fault_of_a_request_is_reported_at_once(service: Service) -> None:
    body: dict[str, Any] = {
        "receivers": ["+86138", "+8613800000000"],
        "params": {"name": "x", "z": 1},
        "provider": "nobody",
        "more": 1,
    }
    answer = service.send(**body)
    assert answer.status_code == 422
    assert answer.json is not None
    pointers = [one["pointer"] for one in answer.json["errors"]]
    assert pointers == ["/more", "/receivers/0", "/params/day", "/params/z", "/provider"]
    assert not outbox(service)
    unknown = service.send(template="nothing").json
    assert unknown is not None
    assert [one["pointer"] for one in unknown["errors"]] == ["/template"]


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "text/plain", 415),
    ],
)
def test_what_is_no_request_is_refused(service: Service, data: bytes, content_type: str, status: int) -> None:
    assert service.client.post("/api/sms", data=data, content_type=content_type).status_code == status


def test_a_request_is_found_by_its_id_and_shows_no_number_and_no_parameter(service: Service) -> None:
    answer = service.send(params={"name": "Secret", "day": "x"})
    service.run_jobs()
    found = service.client.get(f"/api/sms/{answer.json['id']}")  # type: ignore[index]
    assert found.json is not None
    assert found.json["message"] == "sent"
    assert "13800000000" not in found.text
    assert "Secret" not in found.text
    assert service.client.get("/api/sms/1").status_code == 404


@pytest.mark.slow
def test_messages_are_listed_newest_first_by_cursor_receiver_and_state(service: Service) -> None:
    for last in range(5):
        service.send(receivers=f"+861380000000{last}")
        service.clock.advance(1)
    service.run_jobs()
    first = service.client.get("/api/sms?limit=2").json
    assert first is not None
    rest = service.client.get(f"/api/sms?limit=10&cursor={first['next']}").json
    assert rest is not None
    ids = [one["id"] for one in first["messages"] + rest["messages"]]
    assert len(ids) == 5
    assert ids == sorted(ids, key=int, reverse=True)
    assert rest["next"] is None
    for query, count in (
        ("receiver=%2B8613800000003", 1),
        ("receiver=+8613800000003", 1),
        ("state=sent", 5),
        ("state=queued", 0),
        ("since=2026-01-01T00:00:02Z", 3),
    ):
        found = service.client.get(f"/api/sms?{query}").json
        assert found is not None
        assert len(found["messages"]) == count, query
    assert service.client.get("/api/sms?since=2026-01-01T00:00:02").status_code == 422
    assert service.client.get("/api/sms?receiver=x").status_code == 422


def test_templates_and_providers_are_reported_without_a_secret(
    stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    service = make_service(stand_in("aliyun"))
    templates = service.client.get("/api/sms/templates").json
    assert templates is not None
    assert [one["name"] for one in templates["templates"]] == ["captcha", "notice"]
    providers = service.client.get("/api/sms/providers")
    assert "test-secret" not in providers.text
    assert providers.json is not None
    assert providers.json["providers"][0]["circuit"] == "closed"


def test_the_same_key_and_body_send_once(service: Service) -> None:
    """Answered by the first response, even where the message has since changed state."""
    first = service.send(headers={"Idempotency-Key": "k1"})
    service.run_jobs()
    second = service.send(headers={"Idempotency-Key": "k1"})
    assert (second.status_code, second.json) == (first.status_code, first.json)
    service.run_jobs()
    assert len(outbox(service)) == 1


def test_a_scheduled_request_is_answered_alike(service: Service) -> None:
    key, at = {"Idempotency-Key": "k1"}, "2026-01-01T01:00:00Z"
    first, second = (service.send(headers=key, send_at=at) for _ in range(2))
    assert (second.status_code, second.json) == (first.status_code, first.json)
    assert second.json["messages"][0]["state"] == "scheduled"  # type: ignore[index]


def test_the_same_key_with_another_body_is_refused(service: Service) -> None:
    service.send(headers={"Idempotency-Key": "k1"})
    assert service.send(headers={"Idempotency-Key": "k1"}, receivers="+8613900000000").status_code == 422
    assert service.send(headers={"Idempotency-Key": "k2"}).status_code == 202


def test_a_key_is_free_again_after_a_day(service: Service) -> None:
    service.send(headers={"Idempotency-Key": "k1"})
    service.clock.advance(86_401)
    assert service.send(headers={"Idempotency-Key": "k1"}, receivers="+8613900000000").status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, " x"])
def test_an_invalid_key_is_refused(service: Service, key: str) -> None:
    assert service.send(headers={"Idempotency-Key": key}).status_code in {202, 422}
    assert service.send(headers={"Idempotency-Key": "x" * 256}).status_code == 422


@pytest.mark.slow
def test_many_at_once_with_one_key_send_once(service: Service) -> None:
    def send(_: int) -> Any:
        return service.app.test_client().post(
            "/api/sms",
            json={"receivers": "+8613800000000", "template": "notice", "params": {"name": "a", "day": "b"}},
            headers={"Idempotency-Key": "k"},
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    assert {one.status_code for one in answers} == {202}
    assert len({one.json["id"] for one in answers}) == 1
    service.run_jobs()
    assert len(outbox(service)) == 1


@pytest.mark.slow
def test_a_receiver_gets_a_code_as_often_as_the_limits_say(service: Service) -> None:
    """1 a minute, 5 an hour, 10 a day; others and other templates are not concerned."""
    captcha: dict[str, Any] = {"template": "captcha", "params": {"code": "1"}}
    assert service.send(**captcha).status_code == 202
    refused = service.send(**captcha)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "60"
    assert service.send(**captcha, receivers="+8613900000000").status_code == 202
    assert service.send().status_code == 202
    statuses = []
    for _ in range(300):
        service.clock.advance(60)
        statuses.append(service.send(**captcha).status_code)
    assert statuses[:5] == [202] * 4 + [429]
    assert statuses.count(202) == 9


def test_the_budget_of_a_key_cannot_be_exceeded_by_many_at_once(make_service: MakeService) -> None:
    service = make_service(auth="on", sms_daily_budget=10)
    _, key = service.held.keys.store.create("one", ["sms:send"])
    _, other = service.held.keys.store.create("other", ["sms:send"])

    def send(text: str) -> int:
        return (
            service.app.test_client()
            .post(
                "/api/sms",
                json={
                    "receivers": "+8613800000000,+8613900000000",
                    "template": "notice",
                    "params": {"name": "a", "day": "b"},
                },
                headers={"Authorization": f"Bearer {text}"},
            )
            .status_code
        )

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, [key] * 24))
    assert sorted(statuses) == [202] * 5 + [429] * 19
    assert send(other) == 202
    service.clock.advance(86_400)
    assert send(key) == 202


def test_a_key_without_the_scope_may_not_send(make_service: MakeService) -> None:
    service = make_service(auth="on")
    _, reader = service.held.keys.store.create("reader", ["sms:read"])
    assert service.send().status_code == 401
    assert service.send(headers={"Authorization": f"Bearer {reader}"}).status_code == 403
    assert service.client.get("/api/sms", headers={"Authorization": f"Bearer {reader}"}).status_code == 200
    assert service.client.get("/api/health").status_code == 200


def test_a_country_must_be_allowed(make_service: MakeService) -> None:
    service = make_service(sms_countries="CN")
    assert service.send(receivers="+14158675309").status_code == 422


def test_a_guarded_profile_needs_the_countries(make_service: MakeService) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_service(profile="prod", auth="on", secret_key="x" * 40)
    assert [fault.pointer for fault in caught.value.faults] == ["SMS_COUNTRIES"]


@pytest.mark.slow
def test_numbers_are_forgotten_in_time(make_service: MakeService) -> None:
    """After `SMS_RETENTION` a hash and a mask are left, by which a number's messages are still found."""
    service = make_service(sms_retention="1d")
    service.sent_now()
    service.clock.advance(86_400 + 3600)
    service.send(receivers="+8613900000000")
    service.run_jobs()
    with service.held.engine.connect() as connection:
        rows = connection.execute(text("SELECT receiver, receiver_shown FROM sms_messages ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [(None, "+86138****0000"), ("+8613900000000", "+86139****0000")]
    found = service.client.get("/api/sms?receiver=%2B8613800000000").json
    assert found is not None
    assert len(found["messages"]) == 1


def test_parameters_are_forgotten_once_a_text_was_handed_over(service: Service) -> None:
    service.send(receivers="+8613800000000,+8613900000000")
    with service.held.engine.connect() as connection:
        assert connection.execute(text("SELECT params FROM sms_requests")).scalar() is not None
    service.run_jobs()
    with service.held.engine.connect() as connection:
        assert connection.execute(text("SELECT params FROM sms_requests")).scalar() is None


def test_no_log_line_holds_a_number_or_a_parameter(
    make_service: MakeService, stand_in: Callable[..., SmsProvider], capsys: pytest.CaptureFixture[str]
) -> None:
    provider = stand_in("twilio", fault="error")
    service = make_service(provider)
    service.send(params={"name": "Secretive", "day": "x"})
    service.run_jobs()
    service.send(receivers="+86138", params={"name": "Secretive"})
    logged = capsys.readouterr().out
    assert "sms_provider_failed" in logged
    assert "13800000000" not in logged
    assert "Secretive" not in logged


def read_code(service: Service) -> str:
    service.run_jobs()
    code: str = outbox(service)[-1]["params"]["code"]
    return code


def test_a_code_is_sent_and_is_right_once(service: Service) -> None:
    answer = service.post("/api/otp", {"receiver": "+8613800000000"})
    assert answer.status_code == 202
    code = read_code(service)
    assert len(code) == 6
    assert code not in answer.text
    right = service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": code})
    assert (right.status_code, right.json) == (200, {"verified": True})
    assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": code}).status_code == 422


def test_a_code_is_found_by_the_request_that_sent_it(service: Service) -> None:
    answer = service.post("/api/otp", {"receiver": "+8613800000000", "template": "captcha"}).json
    assert answer is not None
    code = read_code(service)
    assert service.post("/api/otp/verify", {"id": answer["id"], "code": code}).status_code == 200


def test_a_code_may_be_guessed_five_times(service: Service) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    wrong = "000000" if code != "000000" else "111111"
    guess = {"receiver": "+8613800000000", "code": wrong}
    left = [service.post("/api/otp/verify", guess).json["tries_left"] for _ in range(6)]  # type: ignore[index]
    assert left == [4, 3, 2, 1, 0, 0]
    assert service.post("/api/otp/verify", {**guess, "code": code}).status_code == 422


@pytest.mark.slow
def test_many_guesses_at_once_use_no_more_than_five(service: Service) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    codes = [one for one in (f"{n:06d}" for n in range(40)) if one != code]

    def guess(one: str) -> int:
        answer = service.app.test_client().post("/api/otp/verify", json={"receiver": "+8613800000000", "code": one})
        assert answer.json is not None
        left: int = answer.json["tries_left"]
        return left

    with ThreadPoolExecutor(8) as pool:
        left = sorted(pool.map(guess, codes))
    assert left[-4:] == [1, 2, 3, 4]
    assert left[-5] == 0


def test_a_code_ends_after_five_minutes(service: Service) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    service.clock.advance(301)
    assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": code}).status_code == 422


def test_an_answer_does_not_reveal_whether_a_code_was_sent(service: Service) -> None:
    """A receiver without a code is answered like one with a code, try by try."""
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    wrong = "000000" if code != "000000" else "111111"

    def guesses(receiver: str) -> list[Any]:
        answers = [service.post("/api/otp/verify", {"receiver": receiver, "code": wrong}).json for _ in range(6)]
        return [{**one, "request_id": ""} for one in answers if one is not None]

    assert guesses("+8613800000000") == guesses("+8613999999999")


def test_a_code_is_kept_as_a_hash_only(service: Service) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    with service.held.engine.connect() as connection:
        tables = (CODES, REQUESTS, MESSAGES)
        dump = "".join(str(connection.execute(select(one)).all()) for one in tables)
    assert f"'{code}'" not in dump
    assert f'"{code}"' not in dump


def test_a_code_is_limited_and_replaced_like_any_other_text(service: Service) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    old = read_code(service)
    assert service.post("/api/otp", {"receiver": "+8613800000000"}).status_code == 429
    service.clock.advance(61)
    service.post("/api/otp", {"receiver": "+8613800000000"})
    new = read_code(service)
    if old != new:
        assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": old}).status_code == 422
    assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": new}).status_code == 200


def test_a_template_without_otp_carries_no_code(service: Service) -> None:
    answer = service.post("/api/otp", {"receiver": "+8613800000000", "template": "notice"})
    assert answer.status_code == 422


def test_the_document_says_what_is_served(make_service: MakeService) -> None:
    service = make_service(modules="carboy.services.archive,carboy.services.sms")
    document = service.client.get("/openapi.json").json
    assert document is not None
    assert {"/api/sms", "/api/otp", "/api/v1/s3/alert", "/api/health"} <= set(document["paths"])


def test_a_repeated_request_for_a_code_sends_one(service: Service) -> None:
    """`Idempotency-Key` works for codes as for other messages; the first code stays good."""
    key, body = {"Idempotency-Key": "k"}, {"receiver": "+8613800000000"}
    first, second = (service.client.post("/api/otp", json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"
    code = read_code(service)
    assert len(outbox(service)) == 1
    assert service.post("/api/otp/verify", {**body, "code": code}).status_code == 200
    other = service.client.post("/api/otp", json={"receiver": "+8613900000000"}, headers=key)
    assert other.status_code == 422


@pytest.mark.parametrize("form", ["{0} {1}", " {0}{1} ", "{0}-{1}", "{0}\u00a0{1}\n"])
def test_a_code_is_read_as_people_type_it(service: Service, form: str) -> None:
    service.post("/api/otp", {"receiver": "+8613800000000"})
    code = read_code(service)
    typed = form.format(code[:3], code[3:])
    assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": typed}).status_code == 200


@pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u0966"])
def test_a_code_is_read_in_other_digits(service: Service, zero: str) -> None:
    """Full-width, Arabic and Devanagari digits."""
    service.post("/api/otp", {"receiver": "+8613800000000"})
    typed = "".join(chr(ord(zero) + int(one)) for one in read_code(service))
    assert service.post("/api/otp/verify", {"receiver": "+8613800000000", "code": typed}).status_code == 200


def test_a_text_that_no_provider_takes_is_refused_at_once(make_service: MakeService) -> None:
    """Twilio, End User Messaging and SNS take 1,600 characters."""
    service = make_service(sms_templates={"long": {"params": ["a", "b"], "text": "{a}{b}"}})
    fits = service.send(template="long", params={"a": "x" * 1000, "b": "x" * 600})
    refused = service.send(template="long", params={"a": "x" * 1000, "b": "x" * 601})
    assert (fits.status_code, refused.status_code) == (202, 422)
    assert refused.json is not None
    assert [one["pointer"] for one in refused.json["errors"]] == ["/params"]


def test_a_number_with_letters_is_sent_to_no_stranger(service: Service) -> None:
    """A masked number is a fault of the request."""
    assert service.send(receivers="+861380013ABCD").status_code == 422
    assert service.post("/api/otp", {"receiver": "+917878787xyz"}).status_code == 422
    assert not outbox(service)


def test_the_budget_and_the_list_count_parts_with_the_sign(
    stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    """Aliyun's sign 【阿里云】 stands before the text."""
    templates = {"t": {"params": ["a"], "text": "{a}", "aliyun": "SMS_1"}}
    service = make_service(stand_in("aliyun"), sms_templates=templates)
    message = service.sent_now(template="t", params={"a": "验" * 68})
    assert message["segments"] == 2


@pytest.mark.parametrize("name", ["a/b", "a~b", "~1", "a/~"])
def test_the_pointer_of_an_unknown_member_is_escaped(service: Service, name: str) -> None:
    """RFC 6901: `/` is written as `~1`, and `~` as `~0`."""
    answer = service.post(
        "/api/sms", {"receivers": "+8613800000000", "template": "captcha", "params": {"code": 1}, name: 1}
    ).json
    assert answer is not None
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert [one["pointer"] for one in answer["errors"]] == [pointer]


def test_a_receiver_whose_plus_was_lost_is_found(service: Service) -> None:
    """In a query a plus that is not percent-encoded is a blank; numbers of +1 have eleven digits."""
    message = service.sent_now(receivers="+14155550123")
    for query in ("receiver=+14155550123", "receiver=%2B14155550123", "receiver=+1 415 555 0123"):
        found = service.client.get(f"/api/sms?{query}").json
        assert found is not None
        assert found["messages"] == [message]
