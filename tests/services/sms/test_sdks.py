"""The providers' own SDKs, pointed at our stand-ins: what the clouds' libraries send is what the stand-ins take."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.lab.sms_providers import SmsProvider

StandIn = Callable[..., SmsProvider]


@pytest.fixture
def now_stand_in() -> Any:
    """Starts stand-ins with the machine's own clock, as the SDKs have it."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda kind, **control: stack.enter_context(SmsProvider(kind, **control))


def host_of(stand_in: SmsProvider) -> str:
    return stand_in.url.removeprefix("http://")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [False, True])
def test_aliyun_s_sdk_sends_through_the_stand_in(now_stand_in: StandIn, batch: bool) -> None:
    client_module = pytest.importorskip("alibabacloud_dysmsapi20170525.client")
    from alibabacloud_dysmsapi20170525 import models
    from alibabacloud_tea_openapi.models import Config

    with_stand_in = now_stand_in("aliyun")
    config = Config(access_key_id="test-key", access_key_secret="test-secret", protocol="http")
    config.endpoint = host_of(with_stand_in)
    client = client_module.Client(config)
    if batch:
        numbers = ["13800000000", "13900000000"]
        answer = client.send_batch_sms(
            models.SendBatchSmsRequest(
                phone_number_json=json.dumps(numbers),
                sign_name_json=json.dumps(["a", "a"]),
                template_code="SMS_1",
                template_param_json=json.dumps([{"code": "1"}] * 2),
            )
        )
    else:
        answer = client.send_sms(
            models.SendSmsRequest(
                phone_numbers="13800000000",
                sign_name="阿里云",
                template_code="SMS_1",
                template_param='{"code":"1234"}',
                out_id="7",
            )
        )
    assert answer.body.code == "OK"
    assert answer.body.biz_id == with_stand_in.sent[0].provider_id
    assert len(with_stand_in.sent) == (2 if batch else 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_aliyun_s_sdk_with_another_secret_is_refused(now_stand_in: StandIn) -> None:
    client_module = pytest.importorskip("alibabacloud_dysmsapi20170525.client")
    from alibabacloud_dysmsapi20170525 import models
    from alibabacloud_tea_openapi.models import Config

    stand_in = now_stand_in("aliyun")
    config = Config(access_key_id="test-key", access_key_secret="another", protocol="http")
    config.endpoint = host_of(stand_in)
    request = models.SendSmsRequest(
        phone_numbers="13800000000", sign_name="a", template_code="SMS_1", template_param="{}"
    )
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        client_module.Client(config).send_sms(request)
    assert not stand_in.sent


def test_huawei_s_documented_request_is_taken_by_the_stand_in(now_stand_in: StandIn) -> None:
    """`huaweicloudsdkmsgsms` manages signatures and templates and sends nothing: this is the documented request."""
    import base64
    import hashlib
    from datetime import UTC, datetime

    import requests

    stand_in = now_stand_in("huawei")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"nonce{created}test-secret".encode()).hexdigest()
    password = base64.b64encode(digest.encode()).decode()
    answer = requests.post(
        f"{stand_in.url}/sms/batchSendSms/v1",
        data={"from": "8823", "to": "+8613800000000", "templateId": "8ff55eac", "templateParas": '["1234"]'},
        headers={
            "Authorization": 'WSSE realm="SDP",profile="UsernameToken",type="Appkey"',
            "X-WSSE": f'UsernameToken Username="test-key",PasswordDigest="{password}",'
            f'Nonce="nonce",Created="{created}"',
        },
        timeout=10,
    )
    assert answer.json()["code"] == "000000"
    assert answer.json()["result"][0]["smsMsgId"] == stand_in.sent[0].provider_id


@pytest.mark.slow
def test_twilio_s_sdk_sends_through_the_stand_in(now_stand_in: StandIn) -> None:
    rest = pytest.importorskip("twilio.rest")
    from twilio.http.http_client import TwilioHttpClient

    stand_in = now_stand_in("twilio", key="AC" + "0" * 32)

    class Here(TwilioHttpClient):  # type: ignore[misc]
        """Goes to the stand-in in place of Twilio."""

        def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            return super().request(method, url.replace("https://api.twilio.com", stand_in.url), *args, **kwargs)

    client = rest.Client("AC" + "0" * 32, "test-secret", http_client=Here())
    message = client.messages.create(to="+14158675309", from_="+14155550100", body="Hello")
    assert message.sid == stand_in.sent[0].provider_id
    assert stand_in.sent[0].text == "Hello"


def test_twilio_s_sdk_finds_the_stand_in_s_callbacks_genuine() -> None:
    validator = pytest.importorskip("twilio.request_validator").RequestValidator("test-secret")
    from tests.lab.sms_providers.control import Sent
    from tests.lab.sms_providers.twilio import receipt, sign_callback

    from carboy.services.sms.providers.wire import read_fields

    _, body = receipt(Sent("+14158675309", "t", "SM1"))
    url = "https://sms.example.com/api/sms/receipts/twilio"
    assert validator.validate(url, read_fields(body), sign_callback(url, body, "test-secret"))


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")  # the SDK's own, on 3.12
def test_tencent_s_sdk_sends_through_the_stand_in(now_stand_in: StandIn) -> None:
    sms_client = pytest.importorskip("tencentcloud.sms.v20210111.sms_client")
    from tencentcloud.common import credential
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    from tencentcloud.sms.v20210111 import models

    stand_in = now_stand_in("tencent")
    http = HttpProfile(protocol="http", endpoint=host_of(stand_in))
    client = sms_client.SmsClient(
        credential.Credential("test-key", "test-secret"), "ap-guangzhou", ClientProfile(httpProfile=http)
    )
    request = models.SendSmsRequest()
    request.from_json_string(
        json.dumps(
            {
                "PhoneNumberSet": ["+8613800000000"],
                "SmsSdkAppId": "1400006666",
                "TemplateId": "1",
                "SignName": "腾讯云",
                "TemplateParamSet": ["1234"],
            }
        )
    )
    answer = client.SendSms(request)
    assert answer.SendStatusSet[0].Code == "Ok"
    assert answer.SendStatusSet[0].SerialNo == stand_in.sent[0].provider_id


@pytest.mark.parametrize("kind", ["aws", "sns"])
def test_amazon_s_sdk_sends_through_the_stand_in(now_stand_in: StandIn, kind: str) -> None:
    boto3 = pytest.importorskip("boto3")
    stand_in = now_stand_in(kind)
    service = {"aws": "pinpoint-sms-voice-v2", "sns": "sns"}[kind]
    client = boto3.client(
        service,
        endpoint_url=stand_in.url,
        region_name="us-east-1",
        aws_access_key_id="test-key",
        aws_secret_access_key="test-secret",
    )
    if kind == "aws":
        answer = client.send_text_message(
            DestinationPhoneNumber="+14158675309", OriginationIdentity="+14155550100", MessageBody="Hello"
        )
    else:
        answer = client.publish(PhoneNumber="+14158675309", Message="Hello")
    assert answer["MessageId"] == stand_in.sent[0].provider_id
    assert stand_in.sent[0].text == "Hello"
    client.close()
