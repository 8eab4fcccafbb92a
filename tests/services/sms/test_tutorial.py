"""The faults of the SMS micro-service tutorial, each by what must hold in its place."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, outbox

from carboy.config import load, read_sources
from carboy.errors import ConfigurationError
from carboy.redact import Secret
from carboy.services.sms import settings as SmsSettings  # noqa: N812
from carboy.services.sms.providers import Message, Response
from carboy.services.sms.providers.huawei import Account, Huawei
from carboy.testing import LoopbackServer, make_ca
from carboy.testing.answers import json_answer

StandIn = Callable[..., SmsProvider]
MESSAGE = Message(("71",), ("+8613800000000",), template_id="t", nonce="n", now_ms=1_519_000_000_000)


def test_1_an_answer_of_aliyun_is_read_and_the_caller_gets_the_truth(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """There: 500 after the text was sent, so that callers sent again."""
    provider = stand_in("aliyun")
    service = make_service(provider)
    assert service.sent_now()["state"] == "sent"
    assert len(provider.sent) == 1


def test_2_an_answer_of_huawei_below_300_is_not_yet_a_success() -> None:
    """`code`, and the `status` of each number, are what counts."""
    refused = Response(200, {}, b'{"code":"E000503","description":"parameter"}')
    partly = b'{"code":"E000510","result":[{"originTo":"+8613800000000","status":"000000","smsMsgId":"a"},'
    partly += b'{"originTo":"+8613900000000","status":"E200028","smsMsgId":"b"}]}'
    assert Huawei().read_response(refused).kind == "refused"  # type: ignore[union-attr]
    read = Huawei().read_response(Response(200, {}, partly))
    assert isinstance(read, dict)
    assert {number: one.kind for number, one in read.items()} == {
        "+8613800000000": "accepted",
        "+8613900000000": "refused",
    }


def test_3_certificates_are_verified_and_times_are_utc(
    stand_in: StandIn, make_service: MakeService, tmp_path: Path
) -> None:
    """The tutorial: `verify=False`, local time with a Z. Carboy refuses an untrusted certificate."""
    nobody = make_ca(tmp_path).issue("localhost").server_context()
    with LoopbackServer(json_answer({"code": "000000"}), tls=nobody) as server:
        service = make_service(stand_in("huawei"), huawei_url=server.url)
        message = service.sent_now()
    assert message["state"] == "queued"
    assert not server.requests
    assert 'Created="2018-02-19T00:26:40Z"' in Huawei().build_request(MESSAGE, Account("https://h")).headers["X-WSSE"]


def test_4_positional_parameters_do_not_hang_on_the_order_of_json(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("huawei")
    service = make_service(provider)
    service.sent_now(params={"name": "a", "day": "b"})
    service.sent_now(params={"day": "b", "name": "a"})
    assert provider.sent[0].text == provider.sent[1].text == '["b", "a"]'


def test_5_signature_callback_and_extend_go_along() -> None:
    account = Account("https://h", "k", Secret("s"), "1", signature="ACME")
    message = Message(("71",), ("+8613800000000",), template_id="t", callback="https://s/r", nonce="n")
    form = parse_qs(Huawei().build_request(message, account).body.decode())
    assert (form["signature"], form["statusCallback"], form["extend"]) == (["ACME"], ["https://s/r"], ["71"])


def test_6_templates_are_settings_and_callers_need_a_key(make_service: MakeService) -> None:
    service = make_service(auth="on", sms_templates={"hello": {"params": [], "text": "Hello"}})
    assert service.send(template="hello", params={}).status_code == 401
    _, key = service.held.keys.store.create("app", ["sms:send"])
    headers = {"Authorization": f"Bearer {key}"}
    assert service.send(template="hello", params={}, headers=headers).status_code == 202
    service.run_jobs()
    assert outbox(service)[0]["text"] == "Hello"


def test_7_no_provider_s_library_is_needed() -> None:
    """The tutorial's SDK had its last release in 2022: requests are signed by some sixty lines of our own."""
    code = "import sys, carboy.services.sms; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = {"aliyunsdkcore", "alibabacloud_dysmsapi20170525", "huaweicloudsdkcore", "twilio", "tencentcloud"}
    assert foreign.isdisjoint(done.stdout.split())


def test_the_tutorial_s_settings_are_understood(tmp_path: Path) -> None:
    environ = {
        "SMS_PROVIDER": "huawei",
        "HUAWEI_URL": "https://smsapi.cn-north-4.myhuaweicloud.com:443/sms/batchSendSms/v1",
        "HUAWEI_SMS_APP_KEY": "k",
        "HUAWEI_SMS_APP_SECRET": "1e5",
        "HUAWEI_SMS_SENDER_ID": "8823",
        "ALIYUN_SMS_APP_KEY": "a",
        "ALIYUN_SMS_REGION_ID": "cn-beijing",
        "ALIYUN_SMS_VERSION": "2017-05-25",
        "ALIYUN_SMS_SIGN_NAME": "阿里云",
    }
    found = load([SmsSettings], read_sources(folder=tmp_path, environ=environ)).part(SmsSettings)
    account = Account(**found.values_of("huawei"))
    assert account.app_secret.reveal() == "1e5"
    request = Huawei().build_request(MESSAGE, account)
    assert request.url == environ["HUAWEI_URL"]
    assert found.values_of("aliyun")["region_id"] == "cn-beijing"


def test_what_a_provider_lacks_is_reported_with_the_setting_s_name(make_service: MakeService) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_service(sms_provider="aliyun,twilio,carrier-pigeon")
    pointers = {fault.pointer for fault in caught.value.faults}
    assert {"ALIYUN_SMS_APP_KEY", "TWILIO_AUTH_TOKEN", "SMS_PROVIDER"} <= pointers
