"""Which provider carries a text, what is tried elsewhere, what is never sent again; receipts."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.lab.sms_providers import SmsProvider
from tests.lab.sms_providers.twilio import sign_callback
from tests.services.sms.kit import MakeService, Service, outbox

from carboy.services.sms.message_store import Begin, Mark, begin, mark
from carboy.services.sms.providers import Receipt
from carboy.services.sms.states import State
from carboy.testing import closed_port

StandIn = Callable[..., SmsProvider]


@pytest.mark.parametrize("fault", ["account", "throttle"])
def test_what_the_first_does_not_take_the_next_does(stand_in: StandIn, make_service: MakeService, fault: str) -> None:
    first, second = stand_in("aliyun", fault=fault), stand_in("twilio")
    service = make_service(first, second)
    message = service.sent_now()
    assert (message["state"], message["provider"], message["attempts"]) == ("sent", "twilio", 2)
    assert not first.sent
    assert len(second.sent) == 1


def test_what_is_refused_for_good_is_not_tried_elsewhere(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("aliyun", fault="blocked"), stand_in("twilio")
    service = make_service(first, second)
    message = service.sent_now()
    assert (message["state"], message["provider_code"]) == ("failed", "isv.MOBILE_NUMBER_ILLEGAL")
    assert second.state.calls.total() == 0


def test_a_limit_on_a_receiver_is_not_got_around(make_service: MakeService, stand_in: StandIn) -> None:
    """Aliyun says that this number had too many messages: no other provider is asked."""
    from carboy.services.sms.providers import Response
    from carboy.services.sms.providers.aliyun import Aliyun

    assert Aliyun().read_response(Response(200, {}, b'{"Code":"isv.BUSINESS_LIMIT_CONTROL"}')).kind == "braked"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", "cut", "reset", "error"])
def test_a_lost_answer_leaves_it_unknown_and_no_provider_gets_it_again(
    stand_in: StandIn, make_service: MakeService, fault: str
) -> None:
    first, second = stand_in("twilio", fault=fault), stand_in("aliyun")
    service = make_service(first, second, **({"sms_timeout_s": 0.5} if fault == "stall" else {}))
    message = service.sent_now()
    assert message["state"] == "unknown"
    for _ in range(5):
        service.clock.advance(3600)
        service.run_jobs()
    assert len(first.sent) <= 1
    assert not second.sent
    assert service.message(message["request"])["state"] == "unknown"


def test_what_is_unknown_is_sent_again_where_that_is_wanted(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("twilio", fault="cut"), stand_in("aliyun")
    service = make_service(first, second, sms_resend_unknown="on")
    assert service.sent_now()["state"] == "sent"
    assert len(first.sent) == len(second.sent) == 1


def test_a_connection_that_is_refused_is_surely_not_sent(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("aliyun"), stand_in("twilio")
    with closed_port() as port:
        service = make_service(first, second, aliyun_url=f"http://127.0.0.1:{port}")
        assert service.sent_now()["provider"] == "twilio"


@pytest.mark.slow
def test_a_provider_that_errs_is_passed_over_until_it_is_half_open(
    stand_in: StandIn, make_service: MakeService
) -> None:
    first, second = stand_in("aliyun", fault="account"), stand_in("twilio")
    service = make_service(first, second)
    service.sent_now()
    service.sent_now()
    assert first.state.calls["account"] == 1
    first.tell(fault=None)
    service.clock.advance(30)
    assert service.sent_now()["provider"] == "aliyun"


def test_while_no_provider_accepts_it_a_message_waits_and_is_then_sent_once(
    stand_in: StandIn, make_service: MakeService
) -> None:
    provider = stand_in("aliyun", fault="throttle")
    service = make_service(provider)
    message = service.sent_now()
    assert message["state"] == "queued"
    assert message["provider_code"] == "isv.DAY_LIMIT_CONTROL"
    provider.tell(fault=None)
    service.clock.advance(61)
    service.run_jobs()
    assert service.message(message["request"])["state"] == "sent"
    assert len(provider.sent) == 1


@pytest.mark.slow
def test_a_text_that_is_too_late_fails(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("aliyun", fault="throttle")
    service = make_service(provider, sms_expires="10m")
    message = service.sent_now()
    for _ in range(60):
        service.clock.advance(30)
        service.run_jobs()
    provider.tell(fault=None)
    assert service.message(message["request"])["provider_code"] == "expired"
    assert not provider.sent


def test_a_pinned_provider_is_the_only_one(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("aliyun"), stand_in("twilio")
    service = make_service(first, second)
    assert service.sent_now(provider="twilio")["provider"] == "twilio"


def test_a_rotated_secret_is_read_without_a_restart(
    stand_in: StandIn, make_service: MakeService, tmp_path: Path
) -> None:
    """The first text after the rotation is sent, not the one after it."""
    secret = tmp_path / "secret"
    secret.write_text("test-secret")
    provider = stand_in("aliyun")
    service = make_service(provider, aliyun_sms_app_secret=f"file:{secret}")
    assert service.sent_now()["state"] == "sent"
    provider.tell(secret="rotated")
    secret.write_text("rotated")
    assert service.sent_now()["state"] == "sent"


def test_a_worker_lost_in_the_middle_of_a_call_leaves_it_unknown(make_service: MakeService) -> None:
    from carboy.services.sms.message_store import Begin, begin

    service = make_service()
    answer = service.send()
    assert answer.json is not None
    message = service.message(answer.json["id"])
    service.held.writer.run(begin, Begin((int(message["id"]),), "another", "outbox"))
    service.run_jobs()
    found = service.message(answer.json["id"])
    assert (found["state"], found["provider_code"]) == ("unknown", "worker_lost")
    assert not outbox(service)


def test_an_answer_that_comes_after_all_is_believed(make_service: MakeService) -> None:
    """The worker that was thought lost says `sent`: that outranks `unknown`."""
    from carboy.services.sms.message_store import Mark, mark

    service = make_service()
    answer = service.send()
    assert answer.json is not None
    request = answer.json["id"]
    message = int(service.message(request)["id"])
    for state in ("unknown", "sent", "unknown"):
        one = Mark(message, int(request), "w", state, 1, "outbox", "p1" if state == "sent" else None)
        service.held.writer.run(mark, (one,))
    found = service.message(request)
    assert (found["state"], found["provider_id"]) == ("sent", "p1")


def test_waiting_answers_when_it_was_handed_over(make_service: MakeService) -> None:
    service = make_service()
    engine = service.held.jobs.engine
    assert engine is not None
    engine.start()
    answer = service.send("/api/sms?wait=10")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["message"] == "sent"
    assert answer.json["messages"][0]["state"] == "sent"


def test_waiting_answers_502_when_every_provider_refused(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("aliyun", fault="account"), stand_in("twilio", fault="account"))
    engine = service.held.jobs.engine
    assert engine is not None
    engine.start()
    answer = service.send("/api/sms?wait=10")
    assert answer.status_code == 502
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["message"] == "failed"
    assert answer.json["success"] is False


def post_receipt(
    service: Service, provider: SmsProvider, delivered: bool = True, path: str = "/tok", at: int = -1
) -> Any:
    content_type, body = provider.receipt(provider.sent[at], delivered=delivered)
    return service.client.post(f"/api/sms/receipts/{provider.kind}{path}", data=body, content_type=content_type)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("aliyun", '{"code":0,"msg":"接收成功"}'),
        ("huawei", "{}"),
        ("tencent", '{"result":0,"errmsg":"OK"}'),
        ("twilio", ""),
        ("aws", "{}"),
    ],
)
def test_a_receipt_settles_its_message_and_is_answered_as_its_provider_wants(
    stand_in: StandIn, make_service: MakeService, kind: str, answer: str
) -> None:
    provider = stand_in(kind)
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now()
    said = post_receipt(service, provider)
    assert said.status_code in {200, 204}
    assert said.text == answer
    assert service.message(message["request"])["state"] == "delivered"


def test_receipts_of_one_batch_settle_each_its_own_message(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("aliyun")
    service = make_service(provider, sms_receipt_tokens="tok")
    answer = service.send(receivers="+8613800000000,+8613900000000").json
    assert answer is not None
    service.run_jobs()
    post_receipt(service, provider, at=0)
    post_receipt(service, provider, delivered=False, at=1)
    found = service.client.get(f"/api/sms/{answer['id']}").json
    assert found is not None
    assert [one["state"] for one in found["messages"]] == ["delivered", "undelivered"]


def test_receipts_twice_and_out_of_order_end_right(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("twilio")
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now()
    sid = provider.sent[0].provider_id
    for status in ("delivered", "sent", "queued", "delivered", "sending"):
        answer = service.client.post("/api/sms/receipts/twilio/tok", data={"MessageSid": sid, "MessageStatus": status})
        assert answer.status_code == 204
        assert service.message(message["request"])["state"] == "delivered"


def test_a_receipt_that_is_faster_than_the_answer_settles_too(stand_in: StandIn, make_service: MakeService) -> None:
    """Its provider's id is not known yet: it is kept, and taken up with the answer."""
    provider = stand_in("twilio", latency_s=0.25)
    service = make_service(provider, sms_receipt_tokens="tok", sms_timeout_s=5)
    answer = service.send()
    assert answer.json is not None
    worker = threading.Thread(target=service.run_jobs)
    worker.start()
    while not provider.sent:
        time.sleep(0.005)
    assert post_receipt(service, provider).status_code == 204
    worker.join()
    assert service.message(answer.json["id"])["state"] == "delivered"


def test_a_receipt_of_an_unknown_message_is_kept_and_counted(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("twilio"), sms_receipt_tokens="tok")
    answer = service.client.post("/api/sms/receipts/twilio/tok", data={"MessageSid": "SM9", "MessageStatus": "sent"})
    assert answer.status_code == 204
    assert service.gateway.unknown_receipts.value(("twilio",)) == 1


def test_a_receipt_resolves_what_was_unknown(stand_in: StandIn, make_service: MakeService) -> None:
    """Aliyun's receipt carries our own id, so it is known even when the answer was lost."""
    provider = stand_in("aliyun", fault="cut")
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now()
    assert message["state"] == "unknown"
    post_receipt(service, provider)
    assert service.message(message["request"])["state"] == "delivered"


def test_an_unknown_state_is_looked_up_where_the_provider_can_report_it(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """Aliyun's query says that it was delivered; it is not sent again for that."""
    provider = stand_in("aliyun", fault="cut", fault_calls=1)
    service = make_service(provider)
    message = service.sent_now()
    assert message["state"] == "unknown"
    service.clock.advance(60)
    service.run_jobs()
    assert service.message(message["request"])["state"] == "delivered"
    assert len(provider.sent) == 1


@pytest.mark.parametrize("kind", ["aliyun", "huawei", "tencent", "twilio", "aws"])
def test_a_receipt_that_proves_nothing_is_refused(stand_in: StandIn, make_service: MakeService, kind: str) -> None:
    provider = stand_in(kind)
    service = make_service(provider, sms_receipt_tokens="tok", auth="on")
    _, key = service.held.keys.store.create("app", ["sms:send"])
    service.send(headers={"Authorization": f"Bearer {key}"})
    service.run_jobs()
    assert post_receipt(service, provider, path="/wrong").status_code == 403
    assert post_receipt(service, provider, path="").status_code in {401, 403}


def test_a_callback_of_twilio_is_let_in_by_its_signature(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("twilio")
    service = make_service(provider, sms_public_url="https://sms.example.com")
    message = service.sent_now()
    [sent] = provider.sent
    assert sent.callback == "https://sms.example.com/api/sms/receipts/twilio"
    content_type, body = provider.receipt(sent)

    def post(token: str) -> int:
        signature = sign_callback(sent.callback, body, token)
        return service.client.post(
            "/api/sms/receipts/twilio",
            data=body,
            content_type=content_type,
            headers={"X-Twilio-Signature": signature},
        ).status_code

    assert post("another") == 403
    assert service.message(message["request"])["state"] == "sent"
    assert post("test-secret") == 204
    assert service.message(message["request"])["state"] == "delivered"


def test_a_path_token_is_never_logged(
    stand_in: StandIn, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service = make_service(stand_in("aliyun"), sms_receipt_tokens="a-secret-token")
    service.client.post("/api/sms/receipts/aliyun/a-secret-token", json=[])
    logged = capsys.readouterr().out
    assert "/api/sms/receipts/aliyun/<token>" in logged
    assert "a-secret-token" not in logged


def test_what_is_no_receipt_is_refused(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("aliyun"), sms_receipt_tokens="tok")
    for body in (b"", b"{}", b"[1]", b'[{"phone_number": "1"}]'):
        assert service.client.post("/api/sms/receipts/aliyun/tok", data=body).status_code == 422
    assert service.client.post("/api/sms/receipts/nobody/tok", data=b"[]").status_code == 404


def test_an_event_that_is_not_final_settles_nothing_for_good(stand_in: StandIn, make_service: MakeService) -> None:
    """Amazon goes on trying: only the final event counts as undelivered."""
    provider = stand_in("aws")
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now()
    _, body = provider.receipt(provider.sent[0], delivered=False)
    for is_final, state in ((False, "sent"), (True, "undelivered")):
        event = {**orjson.loads(body), "isFinal": is_final, "messageStatus": "CARRIER_UNREACHABLE"}
        service.client.post("/api/sms/receipts/aws/tok", data=orjson.dumps(event))
        assert service.message(message["request"])["state"] == state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("receiver", "reported"),
    [("+85251234567", "0085251234567"), ("+14158675309", "14158675309"), ("+8613800000000", "008613800000000")],
)
def test_a_report_is_matched_however_it_writes_the_number(
    stand_in: StandIn, make_service: MakeService, receiver: str, reported: str
) -> None:
    """By the provider's id; in a batch by the digits."""
    provider = stand_in("aliyun")
    service = make_service(provider, sms_receipt_tokens="tok")
    other = "+12025550123" if receiver[:3] != "+86" else "+8613900000000"
    for receivers in ([receiver], [receiver, other]):
        answer = service.send(receivers=receivers).json
        assert answer is not None
        service.run_jobs()
        report = [{"phone_number": reported, "biz_id": provider.sent[-1].provider_id, "success": True}]
        service.post("/api/sms/receipts/aliyun/tok", report)
        found = service.client.get(f"/api/sms/{answer['id']}").json
        assert found is not None
        assert [one["state"] for one in found["messages"]] == ["delivered", "sent"][: len(receivers)]


@pytest.mark.parametrize("after_s", [0, 8 * 3600 - 1])
def test_a_look_up_asks_for_china_s_day_of_sending(stand_in: StandIn, make_service: MakeService, after_s: int) -> None:
    """Not for the day on which the request was accepted."""
    start_s = 1_767_225_600.0 + 8 * 3600  # 16:00 UTC: midnight in China
    provider = stand_in("aliyun", fault="account", wall_s=lambda: start_s + after_s)
    service = make_service(provider, sms_expires="1d")
    service.clock.advance(8 * 3600 - 120)
    answer = service.send().json
    assert answer is not None
    service.gateway.circuits.fail("aliyun", "down")
    service.run_jobs()
    service.clock.advance(120 + after_s)
    provider.tell(fault="cut", fault_calls=1)
    service.run_jobs()
    assert service.message(answer["id"])["state"] == "unknown"
    service.clock.advance(61)
    service.run_jobs()
    assert service.message(answer["id"])["state"] == "delivered"


@pytest.mark.slow
def test_a_temporary_failure_is_sent_again_by_another_provider(stand_in: StandIn, make_service: MakeService) -> None:
    """As often as the template says; Twilio's 30003 is a handset that cannot be reached now."""
    first, second = stand_in("twilio"), stand_in("aliyun")
    templates = {"x": {"params": [], "text": "Hello", "aliyun": "SMS_1", "retry_undelivered": 1}}
    service = make_service(first, second, sms_templates=templates, sms_public_url="http://localhost")
    message = service.sent_now(template="x", params={})
    content_type, body = first.receipt(first.sent[-1], delivered=False)
    url = "http://localhost/api/sms/receipts/twilio"
    headers = {"X-Twilio-Signature": sign_callback(url, body, first.state.control.secret)}
    service.client.post("/api/sms/receipts/twilio", data=body, content_type=content_type, headers=headers)
    assert service.message(message["request"])["state"] == "queued"
    service.run_jobs()
    found = service.message(message["request"])
    assert (found["state"], found["provider"]) == ("sent", "aliyun")
    assert (len(first.sent), len(second.sent)) == (1, 1)


@pytest.mark.parametrize("ends", ["sent", "unknown"])
@pytest.mark.parametrize("echoes", [True, False])
def test_a_temporary_failure_that_is_reported_before_the_call_ends_is_sent_again(
    make_service: MakeService, ends: State, echoes: bool
) -> None:
    """Whether the report repeats our id, or has only the provider's; without either, it is only kept."""
    templates = {"x": {"params": [], "text": "Hello", "retry_undelivered": 1}}
    service = make_service(sms_templates=templates)
    answer = service.send(template="x", params={}).json
    assert answer is not None
    message, request = int(answer["messages"][0]["id"]), int(answer["id"])
    writer, now_ms = service.held.writer, service.clock.now_ms()
    writer.run(begin, Begin((message,), "w", "outbox"))
    receipt = Receipt("p1", "undelivered", str(message) if echoes else "", is_temporary=True)
    service.gateway.take_receipts("outbox", [receipt])
    assert service.message(answer["id"])["state"] == "sending"
    again = service.gateway.dispatcher.resends
    provider_id = "p1" if ends == "sent" else None
    writer.run(mark, (Mark(message, request, "w", ends, now_ms, "outbox", provider_id, resends=again),))
    is_known = echoes or ends == "sent"
    assert service.message(answer["id"])["state"] == ("queued" if is_known else "unknown")
    service.run_jobs()
    assert service.message(answer["id"])["state"] == ("sent" if is_known else "unknown")


@pytest.mark.parametrize("end", ["failed", "canceled", "opted_out"])
def test_a_sibling_that_ends_otherwise_takes_no_second_try(
    stand_in: StandIn, make_service: MakeService, end: str
) -> None:
    """The parameters of a request are kept while one of its messages may be sent again."""
    bad, good = "+14155550124", "+14155550123"
    provider = stand_in("twilio", bad_numbers=[bad] if end == "failed" else [])
    text: dict[str, Any] = {"params": ["name"], "text": "Hello {name}", "kind": "marketing", "retry_undelivered": 1}
    service = make_service(provider, sms_templates={"x": text}, sms_public_url="http://localhost")
    if end == "opted_out":
        assert service.post("/api/sms/opt-outs", {"receiver": bad}).status_code == 201
    answer = service.send(
        receivers=[good, bad], template="x", params={"name": "Li"}, send_at="2026-01-01T00:01:00Z"
    ).json
    assert answer is not None
    if end == "canceled":
        service.client.delete(f"/api/sms/{answer['messages'][1]['id']}")
    service.clock.advance(61)
    service.run_jobs()
    content_type, body = provider.receipt(provider.sent[-1], delivered=False)
    url = "http://localhost/api/sms/receipts/twilio"
    headers = {"X-Twilio-Signature": sign_callback(url, body, provider.state.control.secret)}
    service.client.post("/api/sms/receipts/twilio", data=body, content_type=content_type, headers=headers)
    service.run_jobs()
    found = service.client.get(f"/api/sms/{answer['id']}").json
    assert found is not None
    assert [one["state"] for one in found["messages"]] == ["sent", end]
    assert [one.text for one in provider.sent] == ["Hello Li"] * 2


@pytest.mark.slow
def test_a_provider_that_cannot_carry_a_message_is_asked_once(stand_in: StandIn, make_service: MakeService) -> None:
    """Its account has not the country; the other one throttles for a while."""
    first, second = stand_in("twilio", code="21408"), stand_in("aws", fault="throttle")
    service = make_service(first, second)
    answer = service.send(receivers="+14155550123").json
    assert answer is not None
    for _ in range(4):
        service.run_jobs()
        service.clock.advance(61)
    assert service.message(answer["id"])["state"] == "queued"
    assert first.state.calls["refused: 21408"] == 1
    second.tell(fault=None)
    service.run_jobs()
    found = service.message(answer["id"])
    assert (found["state"], found["provider"]) == ("sent", "aws")
    assert first.state.calls["refused: 21408"] == 1


def test_an_outbox_that_is_no_file_gets_each_message_once(make_service: MakeService, tmp_path: Path) -> None:
    """Such as /dev/stdout: a pipe, which cannot be synced."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert make_service(sms_outbox=str(path)).sent_now()["state"] == "sent"
        assert os.read(reader, 65_536).count(b"\n") == 1
    finally:
        os.close(reader)


def test_an_outbox_may_be_the_null_device(make_service: MakeService) -> None:
    assert make_service(sms_outbox="/dev/null").sent_now()["state"] == "sent"
