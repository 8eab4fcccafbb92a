"""Tables of error codes: complete against the providers' own lists, and what each code does to a message."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import orjson
import pytest
from tests.lab.sms_codes import coverage
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService

from carboy.services.sms.providers.aliyun import Aliyun
from carboy.services.sms.providers.code_table import (
    CodeRow,
    is_temporary,
    kind_of,
    load_codes,
    load_report_codes,
    outcome_of,
)

StandIn = Callable[..., SmsProvider]
TABLES = ("aliyun", "aws", "huawei", "tencent", "twilio")


@pytest.mark.parametrize("provider", TABLES)
def test_every_code_of_a_provider_s_documents_has_a_row(provider: str) -> None:
    """The lists are kept as data, each with its document; `python -m tests.lab.sms_codes` prints them."""
    found = [one for one in coverage() if one.provider == provider]
    assert {one.document: one.missing for one in found if one.missing} == {}
    assert {one.is_reports for one in found} == {True, False}
    assert len(frozenset[str]().union(*(one.documented for one in found))) >= 40


def test_every_exception_of_amazon_s_own_models_has_a_row() -> None:
    """Botocore lists the exceptions of `SendTextMessage` with their reasons, and those of `Publish`."""
    pytest.importorskip("botocore")
    from botocore.loaders import Loader

    known, loader = set(load_codes("aws")), Loader()
    eum = loader.load_service_model("pinpoint-sms-voice-v2", "service-2")
    for error in eum["operations"]["SendTextMessage"]["errors"]:
        name = error["shape"]
        reasons = eum["shapes"].get(f"{name}Reason", {}).get("enum", [])
        assert {name, *(f"{name}/{reason}" for reason in reasons)} <= known
    sns = loader.load_service_model("sns", "service-2")
    shapes = [sns["shapes"][error["shape"]]["error"]["code"] for error in sns["operations"]["Publish"]["errors"]]
    assert set(shapes) <= known


@pytest.mark.skipif(find_spec("tencentcloud") is None, reason="needs the group `sdks`")
def test_every_code_of_tencent_s_sdk_has_a_row() -> None:
    """The SDK's constants are the error codes of the API's version."""
    from tencentcloud.sms.v20210111 import errorcodes

    codes = {value for name, value in vars(errorcodes).items() if name.isupper()}
    assert codes <= set(load_codes("tencent"))


@pytest.mark.parametrize("provider", TABLES)
def test_every_row_names_its_document(provider: str) -> None:
    """And what may have been sent is never asked of another provider."""
    for row in load_codes(provider).values():
        assert row.source.startswith("https://"), row
        assert row.sent == "no" or row.next == "stop", row


@pytest.mark.parametrize("provider", TABLES)
def test_every_row_of_reports_says_something_of_its_own(provider: str) -> None:
    """And what may have been delivered is never sent again."""
    for code, row in load_report_codes(provider).items():
        assert row.source.startswith("https://"), row
        assert row.sent != "unknown" or row.next == "stop", row
        if (own := load_codes(provider).get(code)) is not None and own != row:
            assert (row.fault, row.sent, row.next) != (own.fault, own.sent, own.next), row


TEMPORARY = [
    ("twilio", "30001"),
    ("twilio", "30003"),
    ("twilio", "30017"),
    ("twilio", "30034"),
    ("aws", "UNREACHABLE"),
    ("aws", "TTL_EXPIRED"),
    ("aliyun", "IS_CLOSE"),
    ("aliyun", "MOBLLE_TERMINAL_ERROR"),
    ("aliyun", "PORT_NOT_REGISTERED"),
    ("huawei", "EXPIRED"),
    ("huawei", "E200036"),
    ("tencent", "002"),
]
LASTING = [
    ("twilio", "30005"),
    ("twilio", "30007"),
    ("twilio", "30410"),
    ("twilio", "21610"),
    ("twilio", "undelivered"),
    ("aws", "BLOCKED"),
    ("aws", "UNKNOWN"),
    ("aws", "PROTECT_BLOCKED"),
    ("aliyun", "MOBILE_SEND_LIMIT"),
    ("aliyun", "USER_REJECT"),
    ("aliyun", "REQUEST_SUCCESS"),
    ("aliyun", "isv.BUSINESS_LIMIT_CONTROL"),
    ("huawei", "UNDELIV"),
    ("huawei", "MILIMIT"),
    ("huawei", "MK:0001"),
    ("tencent", "-106"),
]


@pytest.mark.parametrize(("provider", "code"), TEMPORARY)
def test_what_passes_or_is_our_own_fault_may_be_tried_again(provider: str, code: str) -> None:
    assert is_temporary(provider, code)


@pytest.mark.parametrize(("provider", "code"), LASTING)
def test_what_another_attempt_does_not_change_is_final(provider: str, code: str) -> None:
    """A limit that protects the receiver is not gone around, and a carrier's code without a row is no invitation."""
    assert not is_temporary(provider, code)


@pytest.mark.parametrize("provider", TABLES)
def test_a_code_without_a_row_is_unknown(provider: str) -> None:
    """Codes such as `isv.`, `AuthFailure.` and `E0001` are not a reason to send the message again."""
    for code in ("isv.NEW_CODE", "AuthFailure.New", "E000999", "99999", "NewException/NEW"):
        outcome = outcome_of(provider, code)
        assert (outcome.kind, outcome.is_listed) == ("unknown", False)


@pytest.mark.parametrize("provider", TABLES)
def test_a_server_error_leaves_open_whether_it_was_sent(provider: str) -> None:
    """A 5xx may come after the work has begun, with any code in it; throttling comes before."""
    for code, row in load_codes(provider).items():
        expected = "throttled" if kind_of(row) == "throttled" else "unknown"
        assert outcome_of(provider, code, status=500).kind == expected


def _row(fault: Any, sent: Any, following: Any) -> CodeRow:
    return CodeRow("c", fault, sent, following, "https://x")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (_row("provider", "yes", "stop"), "accepted"),
        (_row("provider", "unknown", "stop"), "unknown"),
        (_row("receiver", "no", "stop"), "refused"),
        (_row("country", "no", "stop"), "refused"),
        (_row("receiver", "no", "later"), "braked"),
        (_row("provider", "no", "later"), "throttled"),
        (_row("account", "no", "later"), "throttled"),
        (_row("account", "no", "next_provider"), "account"),
        (_row("provider", "no", "next_provider"), "not_sent"),
        (_row("receiver", "no", "next_provider"), "unsupported"),
        (_row("country", "no", "next_provider"), "unsupported"),
        (_row("request", "no", "next_provider"), "unsupported"),
    ],
)
def test_a_row_says_how_a_call_ended(row: CodeRow, kind: str) -> None:
    assert kind_of(row) == kind


STOPS = [
    ("aws", "ConflictException/DESTINATION_PHONE_NUMBER_OPTED_OUT"),
    ("aws", "ConflictException/DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION"),
    ("aws", "ConflictException/DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
    ("sns", "OptedOut"),
    ("twilio", "21610"),
    ("tencent", "FailedOperation.PhoneNumberInBlacklist"),
    ("aliyun", "isv.CUSTOMER_REFUSED"),
    ("aliyun", "USER_REJECT"),
    ("aliyun", "MOBILE_SEND_LIMIT"),
    ("twilio", "21202"),
    ("aliyun", "isv.BUSINESS_LIMIT_CONTROL"),
]


@pytest.mark.parametrize(("kind", "code"), STOPS)
def test_an_opt_out_stops_everywhere(stand_in: StandIn, make_service: MakeService, kind: str, code: str) -> None:
    """The receiver's will does not depend on the order of the providers."""
    first, second = stand_in(kind, code=code), stand_in("huawei")
    message = make_service(first, second).sent_now()
    assert (message["state"], message["provider_code"]) == ("failed", code)
    assert not second.state.targets


NEXT = [
    ("twilio", "21408"),
    ("twilio", "21606"),
    ("twilio", "21612"),
    ("twilio", "21608"),
    ("huawei", "E200024"),
    ("huawei", "E200030"),
    ("huawei", "E000628"),
    ("huawei", "E200051"),
    ("tencent", "FailedOperation.TemplateIncorrectOrUnapproved"),
    ("tencent", "FailedOperation.SignatureIncorrectOrUnapproved"),
    ("tencent", "UnsupportedOperation.UnsupportedRegion"),
    ("aliyun", "isv.SMS_TEMPLATE_ILLEGAL"),
    ("aliyun", "isv.SMS_SIGNATURE_ILLEGAL"),
    ("aliyun", "MissingPhoneNumbers"),
    ("aws", "ValidationException/SENDER_ID_NOT_REGISTERED"),
    ("aws", "ValidationException/COUNTRY_NOT_ENABLED"),
    ("aws", "ValidationException/INVALID_IDENTITY_FOR_DESTINATION_COUNTRY"),
]


@pytest.mark.parametrize(("kind", "code"), NEXT)
def test_what_one_provider_cannot_send_the_next_does(
    stand_in: StandIn, make_service: MakeService, kind: str, code: str
) -> None:
    """Without opening the circuit: it concerns one country, template or sender."""
    other = "sns" if kind != "sns" else "twilio"
    first, second = stand_in(kind, code=code), stand_in(other)
    service = make_service(first, second)
    message = service.sent_now()
    assert (message["state"], message["provider"]) == ("sent", other)
    shown = service.client.get("/api/sms/providers").json["providers"]  # type: ignore[index]
    assert {one["circuit"] for one in shown} == {"closed"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), [*STOPS, *NEXT])
def test_one_receiver_s_refusal_does_not_stop_the_others(
    stand_in: StandIn, make_service: MakeService, kind: str, code: str
) -> None:
    """With one provider: the message fails, the next one is sent, and the service stays ready."""
    provider = stand_in(kind, code=code)
    service = make_service(provider)
    assert service.sent_now()["state"] == "failed"
    assert service.client.get("/readyz").status_code == 200
    provider.tell(code="")
    assert service.sent_now(receivers="+8613900000000")["state"] == "sent"


ACCOUNT = [
    ("twilio", "20404"),
    ("twilio", "21704"),
    ("twilio", "21705"),
    ("twilio", "90010"),
    ("tencent", "InvalidParameterValue.SdkAppIdNotExist"),
    ("huawei", "E000629"),
    ("aliyun", "isv.PRODUCT_UNSUBSCRIBE"),
    ("sns", "InvalidSecurity"),
    ("sns", "OptInRequired"),
    ("sns", "RequestExpired"),
    ("sns", "IncompleteSignature"),
    ("aws", "ServiceQuotaExceededException/MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), ACCOUNT)
def test_an_account_s_fault_is_the_next_provider_s_turn_and_is_logged(
    stand_in: StandIn, make_service: MakeService, kind: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the circuit opens: no other message has to find out."""
    other = "sns" if kind != "sns" else "twilio"
    first, second = stand_in(kind, code=code), stand_in(other)
    service = make_service(first, second)
    assert service.sent_now()["provider"] == other
    shown = service.client.get("/api/sms/providers").json["providers"]  # type: ignore[index]
    assert [one["circuit"] for one in shown] == ["open", "closed"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["code"] for one in lines if one.get("event") == "sms_provider_failed"] == [code]


UNKNOWN = [
    ("twilio", "20500", 500),
    ("twilio", "20503", 503),
    ("twilio", "21211", 500),
    ("twilio", "12345", 400),
    ("aws", "InternalServerException", 500),
    ("sns", "InternalError", 500),
    ("sns", "ServiceUnavailable", 503),
    ("aliyun", "InternalError", 500),
    ("aliyun", "isp.SYSTEM_ERROR", 200),
    ("aliyun", "isv.NEVER_SEEN", 200),
    ("tencent", "InternalError.SendAndRecvFail", 200),
    ("tencent", "InternalError.ParseBackendResponseFail", 200),
    ("tencent", "InternalError.UnknownError", 200),
    ("tencent", "InternalError.Timeout", 200),
    ("tencent", "InternalError", 200),
    ("huawei", "E200038", 200),
    ("huawei", "E999999", 200),
]


@pytest.mark.parametrize(("kind", "code", "status"), UNKNOWN)
def test_an_answer_that_leaves_it_open_is_never_sent_again(
    stand_in: StandIn, make_service: MakeService, kind: str, code: str, status: int
) -> None:
    """No other provider is asked, then or later."""
    other = "sns" if kind != "sns" else "twilio"
    first, second = stand_in(kind, code=code, status=status), stand_in(other)
    service = make_service(first, second)
    message = service.sent_now()
    assert (message["state"], message["provider_code"]) == ("unknown", code)
    service.clock.advance(3600)
    service.run_jobs()
    assert not second.sent


def test_an_unlisted_code_is_logged_once_and_opens_no_circuit(
    stand_in: StandIn, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may concern one receiver only."""
    provider = stand_in("twilio", code="12345")
    service = make_service(provider)
    for last in range(3):
        assert service.sent_now(receivers=f"+861380000000{last}")["state"] == "unknown"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["code"] for one in lines if one.get("event") == "sms_code_unlisted"] == ["12345"]


def test_retry_after_is_waited_for(stand_in: StandIn, make_service: MakeService) -> None:
    """A provider that asks for two minutes is not asked before."""
    provider = stand_in("twilio", fault="throttle", retry_after="120")
    service = make_service(provider)
    message = service.sent_now()
    provider.tell(fault=None)
    service.clock.advance(119)
    service.run_jobs()
    assert not provider.sent
    service.clock.advance(2)
    service.run_jobs()
    assert service.message(message["request"])["state"] == "sent"


def test_a_template_error_costs_one_call(stand_in: StandIn, make_service: MakeService) -> None:
    """No receiver is at fault, so none is looked for."""
    provider = stand_in("aliyun", code="isv.SMS_TEMPLATE_ILLEGAL")
    service = make_service(provider)
    service.send(receivers=[f"+861380000{n:04d}" for n in range(50)])
    service.run_jobs()
    assert len(provider.state.targets) == 1


@pytest.mark.slow
def test_one_bad_receiver_of_a_batch_is_found_by_halves(stand_in: StandIn, make_service: MakeService) -> None:
    """Every other one is sent once."""
    numbers = [f"+861380000{n:04d}" for n in range(64)]
    provider = stand_in("aliyun", bad_numbers=(numbers[17],))
    service = make_service(provider)
    answer = service.send(receivers=numbers).json
    service.run_jobs()
    messages = service.client.get(f"/api/sms/{answer['id']}").json["messages"]  # type: ignore[index]
    assert [one["state"] for one in messages].count("failed") == 1
    assert sorted(one.receiver for one in provider.sent) == [one for one in numbers if one != numbers[17]]
    assert len(provider.state.targets) <= 13


@pytest.mark.parametrize("kind", ["tencent", "aliyun", "huawei"])
def test_mainland_and_foreign_receivers_are_two_calls(stand_in: StandIn, make_service: MakeService, kind: str) -> None:
    """Tencent refuses a request with both."""
    provider = stand_in(kind)
    service = make_service(provider)
    answer = service.send(receivers=["+8613800000000", "+12025550123", "+8613900000000", "+85251234567"]).json
    service.run_jobs()
    messages = service.client.get(f"/api/sms/{answer['id']}").json["messages"]  # type: ignore[index]
    assert [one["state"] for one in messages] == ["sent"] * 4
    assert len(provider.state.targets) == 2


def test_the_number_of_jobs_is_no_chance(stand_in: StandIn, make_service: MakeService) -> None:
    """With weights too: the heaviest provider decides how many receivers a job has."""
    service = make_service(stand_in("aliyun"), stand_in("twilio"), sms_provider="aliyun:2,twilio:1")
    template = service.gateway.rules.templates["notice"]
    assert {service.gateway.dispatcher.batch_size(template, None, 100) for _ in range(20)} == {100}
    assert service.gateway.dispatcher.batch_size(template, "twilio", 100) == 1


def test_a_template_that_no_provider_of_the_order_carries_is_422(stand_in: StandIn, make_service: MakeService) -> None:
    """A provider with a table but no place in SMS_PROVIDER must be named."""
    extra, templates = stand_in("aliyun"), {"only": {"params": [], "otp": True, "second": "SMS_1"}}
    account = {"url": extra.url, "app_key": "test-key", "app_secret": "test-secret", "sign_name": "a"}
    tables = {"second": {"use": "aliyun", **account}}
    service = make_service(sms_provider="outbox", sms_providers=tables, sms_templates=templates)
    refused = service.send(template="only", params={})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/template")  # type: ignore[index]
    assert service.post("/api/otp", {"receiver": "+8613800000000"}).status_code == 422
    assert service.sent_now(template="only", params={}, provider="second")["state"] == "sent"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(2, "IS_CLOSE", True), (2, "MOBILE_NOT_ON_SERVICE", False), (2, "not listed", False), (1, "IS_CLOSE", False)],
)
def test_a_report_from_abroad_says_whether_another_attempt_may_succeed(status: int, code: str, expected: bool) -> None:
    """Aliyun reports international messages in a form of its own."""
    one = {"To": "14155550123", "Status": status, "ErrorCode": code, "MessageId": "m1"}
    [receipt] = Aliyun().read_receipts(orjson.dumps([one]), {})
    assert receipt.is_temporary is expected
