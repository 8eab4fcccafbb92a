"""Responses of providers that contradict themselves: what leaves open whether a message was sent is `unknown`."""

import json
from typing import Any

import pytest

from carboy.services.sms.accounts import make_provider
from carboy.services.sms.providers import Outcome, Response


def kind_of(provider: str, status: int, document: Any) -> str:
    """Return how a call for one receiver ended; a response that does not mention the receiver leaves it open."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    read = make_provider(provider, provider).read_response(Response(status, {}, body))
    if isinstance(read, Outcome):
        return read.kind
    return next((one.kind for number, one in read.items() if number == "+8613800000000"), "unknown")


def huawei(status: Any, code: Any = "E000510") -> dict[str, Any]:
    return {"code": code, "result": [{"originTo": "+8613800000000", "status": status, "smsMsgId": "1"}]}


def tencent(code: Any) -> dict[str, Any]:
    return {"Response": {"SendStatusSet": [{"PhoneNumber": "+8613800000000", "Code": code, "SerialNo": "1"}]}}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("provider", "document"),
    [
        ("aliyun", {"Code": "OK", "BizId": "1"}),
        ("aliyun", {"Code": "isv.MOBILE_NUMBER_ILLEGAL"}),
        ("aliyun", {"Code": "isv.AMOUNT_NOT_ENOUGH"}),
        ("huawei", huawei("000000")),
        ("huawei", huawei("E200030")),
        ("huawei", {"code": "E000102"}),
        ("tencent", tencent("Ok")),
        ("tencent", tencent("FailedOperation.PhoneNumberInBlacklist")),
        ("tencent", {"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound"}}}),
        ("twilio", {"sid": "SM1", "status": "queued"}),
        ("twilio", {"code": 21610}),
        ("aws", {"MessageId": "m"}),
        ("aws", {"__type": "ConflictException", "Reason": "DESTINATION_PHONE_NUMBER_OPTED_OUT"}),
    ],
)
def test_a_server_error_leaves_it_open_whatever_its_body_says(provider: str, status: int, document: Any) -> None:
    assert kind_of(provider, status, document) == "unknown"


@pytest.mark.parametrize(
    ("provider", "document", "kind"),
    [
        ("aliyun", {"Code": "isv.MOBILE_NUMBER_ILLEGAL"}, "refused"),
        ("huawei", huawei("000000"), "accepted"),
        ("huawei", {"code": "E000102"}, "account"),
        ("tencent", tencent("FailedOperation.PhoneNumberInBlacklist"), "refused"),
        ("tencent", {"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound"}}}, "account"),
        ("twilio", {"code": 21610}, "refused"),
        ("twilio", {"code": "21610"}, "refused"),
    ],
)
def test_a_status_of_200_may_be_a_failure(provider: str, document: Any, kind: str) -> None:
    """The code decides, whether it is a number or a text."""
    assert kind_of(provider, 200, document) == kind


@pytest.mark.parametrize("provider", ["aliyun", "huawei", "tencent", "twilio", "aws"])
@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "OK",
        7,
        None,
        b"",
        b"<html>OK</html>",
        b'{"Code": "OK"',
        {"Code": 0},
        {"code": 0},
        {"Code": None},
        {"Response": {}},
        {"Response": {"SendStatusSet": None}},
        {"Response": {"Error": {"Code": 5}}},
        {"code": "000000", "result": []},
        {"code": "000000", "result": [5]},
        {"code": "000000"},
        {"status": "queued"},
        {"sid": ""},
        {"__type": "NewException"},
        {"Code": "isv.NEW_CODE"},
        {"code": "E999999"},
        {"code": 99999},
        tencent("NewCode"),
        huawei("E999999"),
        huawei(0),
    ],
)
def test_a_success_without_a_known_result_leaves_it_open(provider: str, document: Any) -> None:
    """Neither is it sent again, nor does it count as sent."""
    assert kind_of(provider, 200, document) == "unknown"


@pytest.mark.parametrize("status", ["failed", "undelivered", "canceled"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (None, "unknown"),
        (0, "unknown"),
        (30008, "unknown"),
        (99999, "unknown"),
        (30001, "throttled"),
        (30006, "refused"),
    ],
)
def test_no_report_follows_a_message_that_is_made_as_failed(status: str, code: Any, kind: str) -> None:
    """Twilio reports no initial status (twilio.com/docs, "Outbound Message Status in Status Callbacks")."""
    assert kind_of("twilio", 201, {"sid": "SM1", "status": status, "error_code": code}) == kind
    assert kind_of("twilio", 201, {"sid": "SM1", "status": "queued", "error_code": code}) == "accepted"
