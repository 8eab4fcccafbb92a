"""Each provider's requests and answers, by the documents' own vectors and by a stand-in that checks them."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService

from carboy.redact import Secret
from carboy.services.sms.providers import BUILT_IN, Message, Outcome, Response, aliyun, aws, huawei, tencent, twilio
from carboy.services.sms.providers.aliyun import sign_v1, sign_v3
from carboy.services.sms.providers.huawei import password_digest
from carboy.services.sms.providers.tencent import sign_tc3

NOW_MS = 1_767_225_600_000
MESSAGE = Message(
    ids=("71",),
    receivers=("+8613800000000",),
    text="Your code is 1234",
    template_id="SMS_1",
    params=(("code", "1234"),),
    callback="https://sms.example.com/r",
    nonce="n1",
    now_ms=NOW_MS,
)


def response(body: Any, status: int = 200) -> Response:
    return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_aliyun_rpc_signatures_are_those_of_the_documents() -> None:
    """help.aliyun.com: DescribeDedicatedHosts, and SendSms of the product's own guide."""
    hosts = {
        "AccessKeyId": "testid",
        "Action": "DescribeDedicatedHosts",
        "Format": "JSON",
        "RegionId": "cn-beijing",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "edb2b34af0af9a6d14deaf7c1a5315eb",
        "SignatureVersion": "1.0",
        "Timestamp": "2023-03-13T08:34:30Z",
        "Version": "2014-05-26",
    }
    send = {
        "AccessKeyId": "testId",
        "Action": "SendSms",
        "Format": "XML",
        "OutId": "123",
        "PhoneNumbers": "15300000001",
        "RegionId": "cn-hangzhou",
        "SignName": "阿里云短信测试专用",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "45e25e9b-0a6f-4070-8c85-2956eda1b466",
        "SignatureVersion": "1.0",
        "TemplateCode": "SMS_71390007",
        "TemplateParam": '{"customer":"test"}',
        "Timestamp": "2017-07-12T02:42:19Z",
        "Version": "2017-05-25",
    }
    assert sign_v1("GET", hosts, "testsecret") == "9NaGiOspFP5UPcwX8Iwt2YJXXuk="
    assert sign_v1("GET", send, "testSecret") == "zJDF+Lrzhj/ThnlvIToysFRq6t4="


def test_aliyun_acs3_signature_is_that_of_the_document() -> None:
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
    signed = sign_v3("POST", "/", query, headers, b"", ("YourAccessKeyId", "YourAccessKeySecret"))
    assert signed["Authorization"].endswith("06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0")


def test_tencent_tc3_signature_is_that_of_the_document() -> None:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "host": "cvm.tencentcloudapi.com",
        "x-tc-action": "DescribeInstances",
    }
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    signed = sign_tc3("cvm", headers, body, 1551113065, ("AKID", "*" * 32))
    assert signed.endswith("10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f")


def test_huawei_password_is_base64_of_the_hexadecimal_text() -> None:
    """The official samples encode the hash's text; its raw bytes are an option."""
    hexed, raw = (
        password_digest("n", "2018-02-12T15:30:20Z", "s"),
        password_digest("n", "2018-02-12T15:30:20Z", "s", raw=True),
    )
    assert len(hexed) == 88
    assert len(raw) == 44


@pytest.mark.parametrize("kind", ["aliyun", "aws", "huawei", "sns", "tencent", "twilio"])
def test_a_text_reaches_each_provider_and_its_id_comes_back(
    kind: str, stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    """The stand-in checks the signature by the provider's rules, and refuses what is not signed so."""
    provider = stand_in(kind)
    service = make_service(provider)
    message = service.sent_now()
    assert message["state"] == "sent", message
    [sent] = provider.sent
    assert sent.receiver == "+8613800000000"
    assert message["provider_id"] == sent.provider_id
    assert message["provider"] == kind
    assert "Li" in sent.text
    assert "Monday" in sent.text


def test_aliyun_signs_by_rpc_where_that_is_wanted(
    stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    provider = stand_in("aliyun")
    service = make_service(provider, aliyun_sms_signature="v1")
    assert service.sent_now()["state"] == "sent"


@pytest.mark.parametrize("kind", ["aliyun", "aws", "huawei", "sns", "tencent", "twilio"])
def test_a_wrong_secret_is_the_account_s_fault(
    kind: str, stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    """Every provider refuses a signature by another secret, and the circuit opens."""
    provider = stand_in(kind)
    service = make_service(provider)
    provider.tell(secret="another")
    assert service.sent_now()["state"] == "failed"
    assert not provider.sent
    [shown] = service.client.get("/api/sms/providers").json["providers"]  # type: ignore[index]
    assert shown["circuit"] == "open"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["aliyun", "huawei", "tencent"])
def test_many_receivers_are_one_request_where_a_provider_takes_many(
    kind: str, stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    provider = stand_in(kind)
    service = make_service(provider)
    numbers = [f"+861380000{n:04d}" for n in range(250)]
    answer = service.send(receivers=numbers)
    assert answer.json is not None
    service.run_jobs()
    assert sorted(one.receiver for one in provider.sent) == numbers
    assert provider.state.calls["answered"] == 3
    messages = service.client.get(f"/api/sms/{answer.json['id']}").json["messages"]  # type: ignore[index]
    assert {one["state"] for one in messages} == {"sent"}


def test_one_bad_number_does_not_take_the_others_along(
    stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    """Aliyun refuses a whole batch for one: it is asked again one by one, as nothing was sent."""
    provider = stand_in("aliyun", bad_numbers=("+8613800000001",))
    service = make_service(provider)
    answer = service.send(receivers=["+8613800000000", "+8613800000001", "+8613800000002"])
    service.run_jobs()
    messages = service.client.get(f"/api/sms/{answer.json['id']}").json["messages"]  # type: ignore[index]
    assert [one["state"] for one in messages] == ["sent", "failed", "sent"]
    assert messages[1]["provider_code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    assert sorted(one.receiver for one in provider.sent) == ["+8613800000000", "+8613800000002"]


def test_positional_parameters_keep_the_template_s_order(
    stand_in: Callable[..., SmsProvider], make_service: MakeService
) -> None:
    """In any order of the JSON object: `day` comes first because the template says so."""
    provider = stand_in("huawei")
    service = make_service(provider)
    service.sent_now(params={"name": "Li", "day": "Monday"})
    service.sent_now(params={"day": "Monday", "name": "Li"})
    assert [json.loads(one.text) for one in provider.sent] == [["Monday", "Li"]] * 2


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"Code": "OK", "BizId": "9"}, 200, "accepted"),
        ({"Code": "isv.MOBILE_NUMBER_ILLEGAL"}, 200, "refused"),
        ({"Code": "isv.SMS_TEMPLATE_ILLEGAL"}, 200, "unsupported"),
        ({"Code": "isv.AMOUNT_NOT_ENOUGH"}, 200, "account"),
        ({"Code": "isv.BUSINESS_LIMIT_CONTROL"}, 200, "braked"),
        ({"Code": "isv.DAY_LIMIT_CONTROL"}, 200, "throttled"),
        ({"Code": "Throttling.User"}, 400, "throttled"),
        ({"Code": "isp.SYSTEM_ERROR"}, 200, "unknown"),
        ({"Code": "SignatureDoesNotMatch"}, 400, "account"),
        (b"<html>", 502, "unknown"),
        (b"", 500, "unknown"),
        (b"", 429, "throttled"),
        (b"", 403, "account"),
    ],
)
def test_aliyun_answers_mean_what_its_documents_say(body: Any, status: int, kind: str) -> None:
    assert aliyun.Aliyun().read_response(response(body, status)).kind == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Ok", "accepted"),
        ("LimitExceeded.DeliveryFrequencyLimit", "braked"),
        ("LimitExceeded.PhoneNumberDailyLimit", "braked"),
        ("FailedOperation.PhoneNumberInBlacklist", "refused"),
        ("InvalidParameterValue.IncorrectPhoneNumber", "refused"),
        ("FailedOperation.InsufficientBalanceInSmsPackage", "account"),
        ("AuthFailure.SignatureFailure", "account"),
        ("InternalError.Timeout", "unknown"),
        ("InternalError.OtherError", "unknown"),
        ("RequestLimitExceeded", "throttled"),
        ("Nobody.KnowsThis", "unknown"),
    ],
)
def test_tencent_codes_mean_what_its_documents_say(code: str, kind: str) -> None:
    document = {"Response": {"SendStatusSet": [{"PhoneNumber": "+8613800000000", "Code": code, "SerialNo": "s"}]}}
    read = tencent.Tencent().read_response(response(document))
    assert isinstance(read, dict)
    assert read["+8613800000000"].kind == kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 21211, "refused"),
        (400, 21610, "refused"),
        (403, 21408, "unsupported"),
        (429, 20429, "throttled"),
        (401, 20003, "account"),
        (500, 20500, "unknown"),
        (400, 99999, "unknown"),
        (503, 0, "unknown"),
    ],
)
def test_twilio_codes_mean_what_its_documents_say(status: int, code: int, kind: str) -> None:
    assert twilio.Twilio().read_response(response({"code": code, "message": "m"}, status)).kind == kind


def test_amazon_s_errors_are_read_from_json_and_from_xml() -> None:
    eum, sns = aws.EndUserMessaging(), aws.Sns()
    assert eum.read_response(response({"__type": "a#ThrottlingException"}, 400)).kind == "throttled"
    assert eum.read_response(response({"__type": "AccessDeniedException"}, 400)).kind == "account"
    assert eum.read_response(response({"__type": "ValidationException"}, 400)).kind == "refused"
    xml = b"<ErrorResponse><Error><Code>OptedOut</Code><Message>m</Message></Error></ErrorResponse>"
    assert sns.read_response(response(xml, 400)) == Outcome("refused", "OptedOut", "m", fault="receiver")


def test_a_callback_and_a_signature_go_along_where_the_provider_has_a_place_for_them() -> None:
    account = huawei.Account(
        url="https://h.example", app_key="k", app_secret=Secret("s"), sender_id="1", signature="ACME"
    )
    form = parse_qs(huawei.Huawei().build_request(MESSAGE, account).body.decode())
    assert form["statusCallback"] == ["https://sms.example.com/r"]
    assert form["extend"] == ["71"]
    assert form["signature"] == ["ACME"]
    login = twilio.Account(account_sid="AC1", auth_token=Secret("t"), from_="MG1")
    form = parse_qs(twilio.Twilio().build_request(MESSAGE, login).body.decode())
    assert form["StatusCallback"] == ["https://sms.example.com/r"]
    assert form["MessagingServiceSid"] == ["MG1"]


def test_every_built_in_provider_says_what_it_needs() -> None:
    for name, kind in BUILT_IN.items():
        assert kind.needs in {"text", "template_id"}, name  # type: ignore[attr-defined]
        assert kind.max_receivers >= 1, name  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "sender"), [("+6591234567", "EXMPLE"), ("+8613800000000", None)])
def test_tencent_sends_abroad_from_the_name_of_the_country(number: str, sender: str | None) -> None:
    """In mainland China a message has a sign, and no sender of its own."""
    message = Message(("1",), (number,), template_id="t", sender="EXMPLE")
    body = json.loads(tencent.Tencent().build_request(message, tencent.Account()).body)
    assert body.get("SenderId") == sender
