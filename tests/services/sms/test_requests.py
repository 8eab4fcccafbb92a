"""Parameters per receiver and their rules, countries, test numbers, encoding, references, lists, call-backs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook
from tests.lab.sms_providers import SmsProvider
from tests.lab.sms_providers.twilio import sign_callback
from tests.services.sms.kit import MakeService, outbox

from carboy.clock import from_unix_ms
from carboy.errors import ConfigurationError
from carboy.services.sms.callbacks import Callbacks
from carboy.services.sms.parameter_rules import has_url
from carboy.services.sms.segments import downgrade_to_gsm
from carboy.testing import Answer, LoopbackServer, ManualClock, Request

StandIn = Callable[..., SmsProvider]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_each_receiver_has_parameters_of_its_own(make_service: MakeService) -> None:
    service = make_service()
    messages = [
        {"receiver": "+8613800000000", "params": {"name": "Li", "day": "Monday"}, "reference": "a"},
        {"receiver": "+14155550123", "params": {"name": "Ann", "day": "Friday"}, "reference": "b"},
    ]
    answer = service.post("/api/sms", {"template": "notice", "messages": messages})
    assert answer.status_code == 202
    service.run_jobs()
    assert {line["receiver"]: line["text"] for line in outbox(service)} == {
        "+8613800000000": "Hello Li, see you on Monday",
        "+14155550123": "Hello Ann, see you on Friday",
    }
    listed = service.client.get("/api/sms?reference=b").json
    assert listed is not None
    assert [(one["country"], one["reference"], one["state"]) for one in listed["messages"]] == [("US", "b", "sent")]


def test_one_failure_does_not_lose_the_others(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("twilio", bad_numbers=["+14155550123"])
    service = make_service(provider)
    messages = [
        {"receiver": number, "params": {"name": name, "day": "Monday"}}
        for number, name in (("+14155550123", "a"), ("+14155550124", "b"))
    ]
    answer = service.post("/api/sms", {"template": "notice", "messages": messages}).json
    assert answer is not None
    service.run_jobs()
    found = service.client.get(f"/api/sms/{answer['id']}").json
    assert found is not None
    assert [one["state"] for one in found["messages"]] == ["failed", "sent"]


def test_every_fault_of_every_message_has_its_pointer(make_service: MakeService) -> None:
    service = make_service()
    messages = [
        {"receiver": "+8613800000000", "params": {"name": "Li"}},
        {"receiver": "+86138CALLME", "params": {"name": "a", "day": "b", "x": "c"}, "more": 1},
        {"receiver": "+14155550123", "params": {"name": "a", "day": "b"}, "reference": 7},
    ]
    answer = service.post("/api/sms", {"template": "notice", "messages": messages, "params": {}})
    assert answer.status_code == 422
    assert answer.json is not None
    assert {one["pointer"] for one in answer.json["errors"]} == {
        "/params",
        "/messages/0/params/day",
        "/messages/1/more",
        "/messages/1/receiver",
        "/messages/1/params/x",
        "/messages/2/reference",
    }
    assert not outbox(service)


def test_a_code_cannot_be_sent_twice_to_a_number_in_one_request(make_service: MakeService) -> None:
    messages = [{"receiver": "+8613800000000", "params": {"code": str(n)}} for n in range(2)]
    answer = make_service().post("/api/sms", {"template": "captcha", "messages": messages})
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["pointer"] for one in answer.json["errors"]] == ["/messages/1/receiver"]


@pytest.mark.parametrize("code", ["123456789", "12a", "", "12 3"])
def test_a_parameter_keeps_its_rule(make_service: MakeService, code: str) -> None:
    template = {"params": {"code": {"max_length": 8, "pattern": "\\d+"}}, "text": "{code}"}
    service = make_service(sms_templates={"x": template})
    assert service.send(template="x", params={"code": "1234"}).status_code == 202
    answer = service.send(template="x", params={"code": code})
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["pointer"] for one in answer.json["errors"]] == ["/params/code"]


@pytest.mark.parametrize(
    ("text", "is_url"),
    [
        ("http://x", True),
        ("evil.com", True),
        ("EVIL.COM", True),
        ("evil。com", True),
        ("ｅｖｉｌ．ｃｏｍ", True),
        ("e\u200bvil.com", True),
        ("bit.ly/2x", True),
        ("x.museum/y", True),
        ("10.0.0.1/x", True),
        ("weixin://dl", True),
        ("example.中国", True),
        ("ПРИМЕР.РФ", True),
        ("我爱北京。中国！", False),
        ("Mr.Smith", False),
        ("see you.Monday", False),
        ("3.14", False),
        ("v1.2.3", False),
        ("Li", False),
    ],
)
def test_addresses_of_the_web_are_found(text: str, is_url: bool) -> None:
    assert has_url(text) is is_url


def test_a_template_can_refuse_addresses(make_service: MakeService) -> None:
    service = make_service(sms_templates={"x": {"params": ["name"], "text": "{name}", "allow_urls": False}})
    assert service.send(template="x", params={"name": "evil.com"}).status_code == 422
    assert service.send(template="x", params={"name": "Li"}).status_code == 202


def test_a_country_has_its_provider_sign_and_template(stand_in: StandIn, make_service: MakeService) -> None:
    aliyun, twilio = stand_in("aliyun"), stand_in("twilio")
    templates = {"x": {"params": [], "text": "Hello", "aliyun": {"CN": "SMS_1", "default": "SMS_2"}}}
    routes = {"CN": {"provider": "aliyun", "sign_name": "阿里云"}, "US": {"from": "+14155550199"}}
    service = make_service(twilio, aliyun, sms_templates=templates, sms_routes=routes)
    numbers = ["+8613800000000", "+14155550123", "+85251234567"]
    answer = service.send(receivers=numbers, template="x", params={}).json
    assert answer is not None
    service.run_jobs()
    found = service.client.get(f"/api/sms/{answer['id']}").json
    assert found is not None
    assert {one["country"]: one["provider"] for one in found["messages"]} == {
        "CN": "aliyun",
        "US": "twilio",
        "HK": "twilio",
    }


def test_a_country_that_no_provider_reaches_is_refused(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("aliyun"), sms_templates={"x": {"params": [], "aliyun": {"CN": "SMS_1"}}})
    answer = service.send(receivers=["+8613800000000", "+14155550123"], template="x", params={})
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["pointer"] for one in answer.json["errors"]] == ["/receivers/1"]
    twice = service.send(receivers=["+8613800000000", "+8613800000000", "+14155550123"], template="x", params={})
    assert [one["pointer"] for one in twice.get_json()["errors"]] == ["/receivers/2"]
    messages = [{"receiver": "+14155550123", "params": {}}]
    own = service.post("/api/sms", {"messages": messages, "template": "x"})
    assert [one["pointer"] for one in own.get_json()["errors"]] == ["/messages/0/receiver"]


def test_indias_ids_go_with_the_message() -> None:
    from carboy.services.sms.providers import Message
    from carboy.services.sms.providers.aws import Account, EndUserMessaging

    message = Message(("1",), ("+919876543210",), "x", dlt_entity_id="1101", dlt_template_id="1107")
    body = orjson.loads(EndUserMessaging().build_request(message, Account()).body)
    assert body["DestinationCountryParameters"] == {"IN_ENTITY_ID": "1101", "IN_TEMPLATE_ID": "1107"}


def test_a_test_number_is_accepted_and_never_sent_to(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("twilio")
    service = make_service(provider, sms_test_numbers="+15005550006", sms_receiver_limits="1/60s")
    for _ in range(2):
        message = service.sent_now(receivers="+15005550006", template="captcha", params={"code": "1"})
        assert (message["state"], message["provider"]) == ("delivered", None)
    assert provider.state.calls.total() == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\u201cquoted\u201d \u2014 it\u2019s\u2026", '"quoted" - it\'s...'),
        ("cafe\u0301", "café"),
        ("a\u200bb\u00adc", "abc"),
        ("a\u00a0b\u2003c", "a b c"),
        ("你好", "你好"),
    ],
)
def test_typographic_characters_become_plain_ones(text: str, plain: str) -> None:
    assert downgrade_to_gsm(text) == plain


def test_call_backs_are_signed_and_in_order(make_service: MakeService) -> None:
    got: list[dict[str, Any]] = []

    def answer(request: Request) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        at = from_unix_ms(int(headers["webhook-timestamp"]) * 1000)
        assert headers["webhook-signature"] == Webhook(SECRET).sign(headers["webhook-id"], at, request.body.decode())
        got.append(orjson.loads(request.body))
        return Answer(500 if len(got) == 1 else 204)

    with LoopbackServer(answer) as server:
        service = make_service(sms_callback_url=f"{server.url}/hook", sms_callback_secret=SECRET)
        request = service.send(reference="r-7", receivers="+14155550123").json
        assert request is not None
        service.run_jobs()
        service.run_jobs()
        service.clock.advance(10)
        service.run_jobs()
    message = request["messages"][0]["id"]
    assert [(one["id"], one["state"], one["reference"], one["sequence"]) for one in got] == [
        (message, "sent", "r-7", 1),
        (message, "sent", "r-7", 1),
    ]
    assert set(got[0]) == {"id", "state", "reference", "at", "sequence"}


def test_a_provider_of_one_country_needs_no_place_in_the_order(stand_in: StandIn, make_service: MakeService) -> None:
    """The template has no text for the order's provider; many receivers of the country are one call."""
    aliyun, twilio = stand_in("aliyun"), stand_in("twilio")
    templates = {"x": {"params": [], "aliyun": "SMS_1"}, "both": {"params": [], "text": "Hello", "aliyun": "SMS_1"}}
    routes = {"CN": {"provider": "aliyun", "sign_name": "阿里云"}}
    service = make_service(twilio, aliyun, sms_provider="twilio", sms_templates=templates, sms_routes=routes)
    numbers = [f"+861380000{at:04}" for at in range(50)]
    assert service.send(receivers=numbers, template="x", params={}).status_code == 202
    assert service.send(receivers="+14155550123", template="x", params={}).status_code == 422
    assert service.send(receivers=[*numbers, "+14155550123"], template="both", params={}).status_code == 202
    service.run_jobs()
    assert (len(aliyun.sent), aliyun.state.calls["answered"], len(twilio.sent)) == (100, 2, 1)


def test_an_account_that_only_a_country_uses_is_checked_at_the_start(make_service: MakeService) -> None:
    with pytest.raises(ConfigurationError, match="ALIYUN_SMS_APP_KEY"):
        make_service(sms_routes={"CN": {"provider": "aliyun"}})


def test_messages_and_receivers_at_once_are_a_fault_of_the_latter(make_service: MakeService) -> None:
    service = make_service()
    own = [{"receiver": "+8613800000000", "params": {"name": "Li", "day": "Monday"}}]
    answer = service.post("/api/sms", {"template": "notice", "messages": own, "receivers": "+8613800000000"})
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"] == [{"pointer": "/receivers", "detail": "each of `messages` has its own"}]


def test_a_call_back_that_failed_goes_to_the_address_of_today(make_service: MakeService) -> None:
    """A wrong SMS_CALLBACK_URL is corrected, and what waits reaches the right one."""
    got: list[str] = []

    def answer(request: Request) -> Answer:
        got.append(request.path)
        return Answer(500 if request.path == "/wrong" else 204)

    with LoopbackServer(answer) as server:
        addresses = iter([f"{server.url}/wrong", f"{server.url}/right"])
        settings = make_service(sms_callback_url=f"{server.url}/wrong").gateway.settings
        clock = ManualClock()
        callbacks = Callbacks(lambda: replace(settings, sms_callback_url=next(addresses)), clock)
        again = callbacks.deliver(1, {"id": "1", "sequence": 1, "at": 0, "state": "sent"}, 0)
        assert again is not None
        assert callbacks.deliver(*orjson.loads(again.item["args"])) is None
    assert got == ["/wrong", "/right"]


@pytest.mark.slow
def test_addresses_of_call_backs_are_not_kept_for_ever(make_service: MakeService) -> None:
    """A caller may have an address of its own for each request."""
    with LoopbackServer(lambda _: Answer(204)) as server:
        settings = make_service().gateway.settings
        callbacks = Callbacks(lambda: settings, ManualClock(), lambda row: f"{server.url}/{row}")
        for at in range(250):
            callbacks.deliver(at, {"id": str(at), "sequence": 1, "at": 0, "state": "sent"}, 0)
        assert len(callbacks._receivers) == 100


def test_each_change_is_called_back_once_with_its_place_and_reference(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """Whatever ends a message: sent and delivered, opted out, canceled, a test number, refused by all."""
    got: list[dict[str, Any]] = []

    def answer(request: Request) -> Answer:
        got.append(orjson.loads(request.body))
        return Answer(204)

    numbers = {name: f"+1415555012{at}" for at, name in enumerate(["sent", "opted out", "canceled", "test", "refused"])}
    provider = stand_in("twilio", bad_numbers=[numbers["refused"]])
    templates = {"x": {"params": [], "text": "Hello", "kind": "marketing"}}
    with LoopbackServer(answer) as server:
        service = make_service(
            provider,
            sms_templates=templates,
            sms_test_numbers=numbers["test"],
            sms_public_url="http://localhost",
            sms_callback_url=f"{server.url}/hook",
        )
        assert service.post("/api/sms/opt-outs", {"receiver": numbers["opted out"]}).status_code == 201
        own = [{"receiver": number, "params": {}, "reference": name} for name, number in numbers.items()]
        later = {"template": "x", "messages": own, "send_at": "2026-01-01T00:01:00Z"}
        request = service.post("/api/sms", later).json
        assert request is not None
        ids = {name: one["id"] for name, one in zip(numbers, request["messages"], strict=True)}
        assert service.client.delete(f"/api/sms/{ids['canceled']}").status_code == 200
        service.clock.advance(61)
        service.run_jobs()
        content_type, body = provider.receipt(provider.sent[-1])
        url = "http://localhost/api/sms/receipts/twilio"
        headers = {"X-Twilio-Signature": sign_callback(url, body, provider.state.control.secret)}
        for _ in range(2):  # providers repeat their reports
            service.client.post("/api/sms/receipts/twilio", data=body, content_type=content_type, headers=headers)
        service.run_jobs()
    assert sorted((one["reference"], one["sequence"], one["state"]) for one in got) == [
        ("canceled", 1, "canceled"),
        ("opted out", 1, "opted_out"),
        ("refused", 1, "failed"),
        ("sent", 1, "sent"),
        ("sent", 2, "delivered"),
        ("test", 1, "delivered"),
    ]
    assert {one["reference"]: one["id"] for one in got} == ids
