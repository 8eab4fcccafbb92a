"""Delivery reports in any order, twice, of another provider, or of no message: each settles its own message at most."""

import json
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service

from carboy.testing import LoopbackServer, json_answer

StandIn = Callable[..., SmsProvider]
ONE, OTHER = "+14155550123", "+14155550124"


def report(service: Service, provider: str, sid: str, status: str, code: str = "") -> None:
    form = {"MessageSid": sid, "MessageStatus": status, **({"ErrorCode": code} if code else {})}
    assert service.client.post(f"/api/sms/receipts/{provider}/tok", data=form).status_code == 204


def states(service: Service, request: str) -> list[str]:
    found: Any = service.client.get(f"/api/sms/{request}").json
    return [one["state"] for one in found["messages"]]


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(["queued", "sent", "undelivered", "delivered"])))
def test_reports_in_any_order_and_twice_end_delivered(
    stand_in: StandIn, make_service: MakeService, order: tuple[str, ...]
) -> None:
    provider = stand_in("twilio")
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now(receivers=ONE)
    for status in (*order, *order):
        report(service, "twilio", provider.sent[0].provider_id, status, "30006" if status == "undelivered" else "")
    assert states(service, message["request"]) == ["delivered"]
    assert len(provider.sent) == 1


@pytest.mark.slow
@pytest.mark.parametrize("sid", ["", "SM404", "x" * 400, "1", "%00", "sm00000001", "SM00000001 "])
def test_a_report_of_no_message_settles_none(stand_in: StandIn, make_service: MakeService, sid: str) -> None:
    """Also where its id is too long, empty, or differs in case."""
    provider = stand_in("twilio")
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now(receivers=ONE)
    answer = service.client.post("/api/sms/receipts/twilio/tok", data={"MessageSid": sid, "MessageStatus": "delivered"})
    assert answer.status_code in {204, 400, 422}
    assert states(service, message["request"]) == ["sent"]


def test_a_report_of_another_provider_with_the_same_id_settles_none(
    stand_in: StandIn, make_service: MakeService
) -> None:
    first, second = stand_in("twilio"), stand_in("aliyun")
    service = make_service(first, second, sms_receipt_tokens="tok")
    message = service.sent_now(receivers=ONE)
    found = {
        "phone_number": ONE[1:],
        "success": False,
        "err_code": "IS_CLOSE",
        "biz_id": first.sent[0].provider_id,
        "out_id": message["id"],
    }
    assert service.client.post("/api/sms/receipts/aliyun/tok", json=[found]).status_code == 200
    assert states(service, message["request"]) == ["sent"]


def test_a_report_settles_one_of_two_messages_to_the_same_number(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("twilio")
    service = make_service(provider, sms_receipt_tokens="tok")
    first, second = (service.sent_now(receivers=ONE)["request"] for _ in range(2))
    report(service, "twilio", provider.sent[1].provider_id, "delivered")
    assert (states(service, first), states(service, second)) == (["sent"], ["delivered"])


def test_a_final_failure_is_not_sent_again(stand_in: StandIn, make_service: MakeService) -> None:
    """Whatever the template says: 30006 is a landline."""
    provider = stand_in("twilio")
    templates = {"x": {"params": [], "text": "Hello", "retry_undelivered": 2}}
    service = make_service(provider, sms_receipt_tokens="tok", sms_templates=templates)
    message = service.sent_now(template="x", params={}, receivers=ONE)
    report(service, "twilio", provider.sent[0].provider_id, "undelivered", "30006")
    service.run_jobs()
    assert (states(service, message["request"]), len(provider.sent)) == (["undelivered"], 1)


def test_receivers_that_are_the_same_number_get_one_message(stand_in: StandIn, make_service: MakeService) -> None:
    """However they are written."""
    provider = stand_in("twilio")
    service = make_service(provider)
    written = [ONE, "+1 415 555 0123", "\uff0b1 (415) 555-0123", "+1.415.555.0123", OTHER, "\u200e+14155550123"]
    assert service.send(receivers=written).status_code == 202
    service.run_jobs()
    assert sorted(one.receiver for one in provider.sent) == [ONE, OTHER]


def test_test_numbers_are_left_out_of_a_batch(stand_in: StandIn, make_service: MakeService) -> None:
    """However they are written, and whatever their type."""
    provider = stand_in("twilio")
    service = make_service(provider, sms_test_numbers="+14155550100,+442079460000,+19005550123")
    written = ["+1 (415) 555-0100", "\uff0b442079460000", ONE, "+1 900 555 0123"]
    answer: Any = service.send(receivers=written).json
    service.run_jobs()
    assert states(service, answer["id"]) == ["delivered", "delivered", "sent", "delivered"]
    assert [one.receiver for one in provider.sent] == [ONE]


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
def test_one_unreadable_report_of_a_call_does_not_lose_the_others(
    stand_in: StandIn, make_service: MakeService, kind: str
) -> None:
    """The provider repeats the call as it is, so that a refusal would lose the others for good."""
    provider = stand_in(kind)
    service = make_service(provider, sms_receipt_tokens="tok")
    message = service.sent_now()
    [good] = json.loads(provider.receipt(provider.sent[0])[1])
    unreadable: list[Any] = [{}, None, 5, "x", [good]]
    for bad in unreadable:
        assert service.post(f"/api/sms/receipts/{kind}/tok", [bad]).status_code == 422
        assert states(service, message["request"]) == ["sent"]
    assert service.post(f"/api/sms/receipts/{kind}/tok", [{}, None, good, 5]).status_code == 200
    assert states(service, message["request"]) == ["delivered"]


def test_a_report_settles_a_message_that_was_made_as_failed(stand_in: StandIn, make_service: MakeService) -> None:
    """It is unknown, and keeps the id by which a later report finds it."""
    with LoopbackServer(json_answer({"sid": "SM7", "status": "failed", "error_code": None}, 201)) as server:
        service = make_service(stand_in("twilio"), twilio_url=server.url, sms_receipt_tokens="tok")
        message = service.sent_now(receivers=ONE)
    assert (message["state"], message["provider_id"], message["provider_code"]) == ("unknown", "SM7", "failed")
    report(service, "twilio", "SM7", "delivered")
    assert states(service, message["request"]) == ["delivered"]
