"""Numbers that opted out get no marketing messages; what people write to our numbers is kept."""

import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from sqlalchemy import select
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import TEMPLATES, MakeService, Service, outbox

from carboy.errors import ConfigurationError
from carboy.jobs.tables import JOBS
from carboy.services.sms.inbound import InboundMessage, _functions, on_inbound
from carboy.services.sms.keywords import read_keyword
from carboy.testing import LoopbackServer

StandIn = Callable[..., SmsProvider]

WITH_OFFERS = {
    **TEMPLATES,
    "offer": {"params": ["what"], "kind": "marketing", "text": "New: {what}", "aliyun": "SMS_3", "tencent": "3"},
}
OFFER: dict[str, Any] = {"template": "offer", "params": {"what": "tea"}}
NUMBER = "+14155550123"


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service(sms_templates=WITH_OFFERS)


def opt_out(service: Service, number: str = NUMBER) -> Any:
    return service.post("/api/sms/opt-outs", {"receiver": number})


def test_an_opted_out_number_gets_no_marketing_message_and_all_others(service: Service) -> None:
    assert opt_out(service).status_code == 201
    assert service.sent_now(receivers=NUMBER, **OFFER)["state"] == "opted_out"
    assert service.sent_now(receivers=NUMBER)["state"] == "sent"
    assert [line["template"] for line in outbox(service)] == ["notice"]


def test_the_list_is_kept_through_the_api(service: Service) -> None:
    assert opt_out(service).status_code == 201
    again = opt_out(service)
    assert (again.status_code, again.json["receiver"]) == (200, "+1415****0123")
    listed = service.client.get("/api/sms/opt-outs").json
    assert listed is not None
    assert [(one["receiver"], one["reason"]) for one in listed["opt_outs"]] == [("+1415****0123", "api")]
    path = "/api/sms/opt-outs?receiver=%2B14155550123"
    assert service.client.delete(path).status_code == 204
    assert service.client.delete(path).status_code == 404
    assert service.sent_now(receivers=NUMBER, **OFFER)["state"] == "sent"


def test_a_number_that_cannot_be_read_has_a_pointer(service: Service) -> None:
    answer = opt_out(service, "+1415CALLME")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/receiver"


def test_one_receiver_of_many_may_have_opted_out(service: Service) -> None:
    opt_out(service)
    answer = service.send(receivers=[NUMBER, "+14155550124"], **OFFER)
    assert answer.status_code == 202
    service.run_jobs()
    assert answer.json is not None
    found = service.client.get(f"/api/sms/{answer.json['id']}").json
    assert found is not None
    assert sorted(one["state"] for one in found["messages"]) == ["opted_out", "sent"]


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("STOP", "stop"),
        (" stop. ", "stop"),
        ("Stop!", "stop"),
        ("ＳＴＯＰ", "stop"),
        ("s\u200btop", "stop"),
        ("退订", "stop"),
        ("td", "stop"),
        ("T", "stop"),
        ("Unsubscribe", "stop"),
        ("start", "start"),
        ("please do not stop", None),
        ("", None),
        ("STOPPING", None),
        ("stop stop", None),
        ("STOP \u2764\ufe0f", "stop"),
        ("\u270b\U0001f3fd STOP", "stop"),
        ("\U0001f468\u200d\U0001f469\ufe0f stop 1\ufe0f\u20e3", None),
        ("*\ufe0f\u20e3 Stop *\ufe0f\u20e3", "stop"),
        ("\u00abSTOP\u00bb", "stop"),
        ("退订。", "stop"),
        ("\U0001f44d", None),
        ("...", None),
    ],
)
def test_the_whole_message_must_be_the_word(text: str, keyword: str | None) -> None:
    words = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "退订", "TD", "T")
    assert read_keyword(text, words) == keyword


def twilio_message(text: str, sid: str = "SM1") -> bytes:
    return urlencode({"MessageSid": sid, "From": NUMBER, "To": "+14155550100", "Body": text}).encode()


def signed(service: Service, path: str, body: bytes, token: str) -> Any:
    url = f"http://localhost{path}" + "".join(
        name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True))
    )
    signature = base64.b64encode(hmac.digest(token.encode(), url.encode(), "sha1")).decode()
    headers = {"X-Twilio-Signature": signature}
    return service.client.post(path, data=body, content_type="application/x-www-form-urlencoded", headers=headers)


def test_stop_and_start_reach_every_provider(stand_in: StandIn, make_service: MakeService) -> None:
    twilio = stand_in("twilio")
    service = make_service(twilio, sms_templates=WITH_OFFERS)
    path, token = "/api/sms/inbound/twilio", twilio.state.control.secret
    answer = signed(service, path, twilio_message("STOP"), token)
    assert (answer.status_code, answer.content_type) == (200, "text/xml")
    assert b"<Response></Response>" in answer.data
    assert service.sent_now(receivers=NUMBER, **OFFER)["state"] == "opted_out"
    assert twilio.state.calls.total() == 0
    signed(service, path, twilio_message("start", "SM2"), token)
    signed(service, path, twilio_message("STOP"), token)  # a repetition of the first, which START has undone
    assert service.sent_now(receivers=NUMBER, **OFFER)["state"] == "sent"
    kept = service.client.get("/api/sms/inbound").json
    assert kept is not None
    assert [(one["keyword"], one["sender"]) for one in kept["messages"]] == [
        ("start", "+1415****0123"),
        ("stop", "+1415****0123"),
    ]


def test_a_message_that_does_not_prove_itself_is_refused(stand_in: StandIn, make_service: MakeService) -> None:
    service = make_service(stand_in("twilio"), sms_templates=WITH_OFFERS)
    assert signed(service, "/api/sms/inbound/twilio", twilio_message("STOP"), "wrong").status_code == 403
    assert service.client.get("/api/sms/opt-outs").json == {"opt_outs": [], "next": None}
    assert service.post("/api/sms/inbound/nobody/x", {}).status_code == 404


@pytest.mark.parametrize(
    ("kind", "content_type", "body", "answer"),
    [
        (
            "aliyun",
            "application/json",
            json.dumps(
                [
                    {
                        "phone_number": "13800000000",
                        "send_time": "2017-09-01 00:00:00",
                        "content": "退订",
                        "sign_name": "签名",
                        "dest_code": "1234",
                        "sequence_id": 1234567890,
                    }
                ]
            ),
            {"code": 0, "msg": "接收成功"},
        ),
        (
            "tencent",
            "application/json",
            json.dumps({"extend": "01", "mobile": "13800000000", "nationcode": "86", "sign": "签名", "text": "T"}),
            {"result": 0, "errmsg": "OK"},
        ),
        (
            "huawei",
            "application/x-www-form-urlencoded",
            urlencode({"from": "+8613800000000", "to": "1069", "body": "TD", "smsMsgId": "97"}),
            {},
        ),
        (
            "aws",
            "application/json",
            json.dumps(
                {
                    "originationNumber": "+8613800000000",
                    "destinationNumber": "+12125550101",
                    "messageBody": "Quit",
                    "inboundMessageId": "cae173d2",
                }
            ),
            {},
        ),
    ],
)
def test_every_provider_brings_a_stop_word(
    stand_in: StandIn, make_service: MakeService, kind: str, content_type: str, body: str, answer: dict[str, Any]
) -> None:
    service = make_service(stand_in(kind), sms_templates=WITH_OFFERS, sms_receipt_tokens="tok")
    path = f"/api/sms/inbound/{kind}"
    for _ in range(2):
        found = service.client.post(f"{path}/tok", data=body.encode(), content_type=content_type)
        assert (found.status_code, json.loads(found.data)) == (200, answer)
    assert service.client.post(f"{path}/other", data=body.encode(), content_type=content_type).status_code == 403
    listed = service.client.get("/api/sms/opt-outs?receiver=%2B8613800000000").json
    assert listed is not None
    assert [(one["reason"], one["provider"]) for one in listed["opt_outs"]] == [("stop", kind)]
    assert service.client.post(f"{path}/tok", data=b"?", content_type=content_type).status_code == 422


def test_a_number_that_a_provider_reports_as_opted_out_is_added(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("twilio", opted_out=[NUMBER]), stand_in("aliyun")
    service = make_service(first, second, sms_templates=WITH_OFFERS)
    assert service.sent_now(receivers=NUMBER, **OFFER)["provider_code"] == "21610"
    assert service.sent_now(receivers=NUMBER, provider="aliyun", **OFFER)["state"] == "opted_out"
    assert not second.sent


def test_a_delivery_report_that_says_opted_out_counts(stand_in: StandIn, make_service: MakeService) -> None:
    """Twilio takes the message of a messaging service first and reports 21610 later."""
    first, second = stand_in("twilio"), stand_in("aliyun")
    service = make_service(first, second, sms_templates=WITH_OFFERS)
    message = service.sent_now(receivers=NUMBER, **OFFER)
    body = urlencode({"MessageSid": message["provider_id"], "MessageStatus": "failed", "ErrorCode": "21610"}).encode()
    assert signed(service, "/api/sms/receipts/twilio", body, first.state.control.secret).status_code == 204
    assert service.message(message["request"])["state"] == "undelivered"
    assert service.sent_now(receivers=NUMBER, provider="aliyun", **OFFER)["state"] == "opted_out"
    assert not second.sent


def test_a_stop_between_acceptance_and_sending_counts(service: Service) -> None:
    answer = service.send(receivers=NUMBER, **OFFER)
    opt_out(service)
    service.run_jobs()
    assert answer.json is not None
    assert service.message(answer.json["id"])["state"] == "opted_out"
    assert not outbox(service)


def test_functions_are_called_once_for_each_message(stand_in: StandIn, make_service: MakeService) -> None:
    found: list[InboundMessage] = []
    on_inbound(found.append)
    try:
        service = make_service(stand_in("huawei"), sms_receipt_tokens="tok")
        body = urlencode({"from": "+8613800000000", "to": "1069", "body": "hello", "smsMsgId": "97"})
        for _ in range(2):
            service.client.post(
                "/api/sms/inbound/huawei/tok", data=body, content_type="application/x-www-form-urlencoded"
            )
        with service.held.engine.connect() as connection:
            waiting = connection.execute(select(JOBS.c.args).where(JOBS.c.kind == "sms.inbound")).scalars().all()
        service.run_jobs()
    finally:
        _functions.remove(found.append)
    assert len(waiting) == 1
    assert "8613800000000" not in str(waiting)  # lists of jobs show their arguments
    assert "hello" not in str(waiting)
    assert [(one.sender, one.text, one.keyword) for one in found] == [("+8613800000000", "hello", None)]


def test_a_key_needs_the_scope(make_service: MakeService) -> None:
    service = make_service(auth="on", secret_key="x" * 32)
    held = service.held
    for scopes, status in ((("sms:send", "sms:read"), 403), (("sms:opt-outs",), 200)):
        _, text = held.keys.store.create("-".join(scopes).replace(":", "-"), scopes)
        found = service.client.get("/api/sms/opt-outs", headers={"Authorization": f"Bearer {text}"})
        assert found.status_code == status


@pytest.mark.slow
def test_inbound_messages_reach_the_destinations_that_want_them(
    stand_in: StandIn, make_service: MakeService, tmp_path: Path
) -> None:
    """One delivery for each message, however often the provider and the job repeat it."""
    with LoopbackServer() as sink:
        service = make_service(
            stand_in("huawei"),
            sms_receipt_tokens="tok",
            modules="carboy.services.sms,carboy.services.archive",
            archive_url=f"file://{tmp_path}/archive",
            archive_destinations={"crm": {"url": sink.url, "sources": ["sms"], "events": ["inbound"]}},
        )
        body = urlencode({"from": "+8613800000000", "to": "1069", "body": "hello", "smsMsgId": "97"})
        for _ in range(2):
            service.client.post(
                "/api/sms/inbound/huawei/tok", data=body, content_type="application/x-www-form-urlencoded"
            )
        for _ in range(4):
            service.run_jobs()
            service.clock.advance(1)
        [request] = sink.requests
    document = json.loads(request.body)
    assert (document["sender"], document["text"], document["provider"]) == ("+8613800000000", "hello", "huawei")
    listed = service.client.get("/api/v1/destinations/crm/deliveries").json
    assert listed is not None
    assert [one["event"]["source"] for one in listed["deliveries"]] == ["sms"]


def test_no_message_is_archived_that_no_destination_wants(
    stand_in: StandIn, make_service: MakeService, tmp_path: Path
) -> None:
    service = make_service(
        stand_in("huawei"),
        sms_receipt_tokens="tok",
        modules="carboy.services.sms,carboy.services.archive",
        archive_url=f"file://{tmp_path}/archive",
    )
    body = urlencode({"from": "+8613800000000", "to": "1069", "body": "hello", "smsMsgId": "97"})
    service.client.post("/api/sms/inbound/huawei/tok", data=body, content_type="application/x-www-form-urlencoded")
    for _ in range(2):
        service.run_jobs()
    assert not [path for path in (tmp_path / "archive").rglob("*") if path.is_file() and "sms" in path.parts]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (
            "aliyun",  # help.aliyun.com/zh/sms/developer-reference/smsup-http: `sequence_id` is a text today, no sign
            [{"phone_number": "13800000000", "content": "T", "send_time": "2017-09-01 00:00:00", "dest_code": "1234",
              "sequence_id": "1234567890"}],
            ("+8613800000000", "1234", "T"),
        ),
        (
            "aliyun",  # help.aliyun.com/document_detail/414223.htm: no field is required
            [{"phone_number": "8613800000000", "content": "T", "send_time": "2017-09-01 00:00:00", "dest_code": None}],
            ("+8613800000000", None, "T"),
        ),
        (
            "tencent",  # tencentcloud.com/document/product/382/43548: `extend` may be null
            {"extend": None, "mobile": "13800000000", "nationcode": "86", "sign": "s", "text": "T", "time": 1457336869},
            ("+8613800000000", None, "T"),
        ),
        (
            "tencent",
            {"extend": "", "mobile": "4155550123", "nationcode": "1", "sign": "s", "text": "Stop", "time": 1457336869},
            ("+14155550123", None, "Stop"),
        ),
        (
            "huawei",  # support.huaweicloud.com/api-msgsms/sms_05_0004.html
            "from=%2B8613800000000&to=1069&body=TD&smsMsgId=9692b5be&createTime=2018-02-12T15%3A30%3A20Z",
            ("+8613800000000", "1069", "TD"),
        ),
        (
            "aws",  # docs.aws.amazon.com/sms-voice/latest/userguide/two-way-sms-payload.html
            {"originationNumber": "+14255550182", "destinationNumber": "+12125550101", "messageKeyword": "JOIN",
             "messageBody": "STOP", "inboundMessageId": "cae173d2", "previousPublishedMessageId": "wJalr"},
            ("+14255550182", "+12125550101", "STOP"),
        ),
    ],
)  # fmt: skip
def test_each_form_of_the_documents_is_read(
    stand_in: StandIn, make_service: MakeService, kind: str, body: Any, expected: tuple[str, str | None, str]
) -> None:
    """Repeated, as each provider does after a time-out, it is one message; of another time it is another."""
    service = make_service(stand_in(kind), sms_receipt_tokens="tok")
    text = body if isinstance(body, str) else json.dumps(body)
    content_type = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
    for again in (text, text, text.replace("1234567890", "1234567891").replace("2017-09", "2018-09")):
        path = f"/api/sms/inbound/{kind}/tok"
        assert service.client.post(path, data=again, content_type=content_type).status_code == 200
    found = service.client.get("/api/sms/inbound").json
    assert found is not None
    sender, receiver, words = expected
    assert len(found["messages"]) == 1 + (kind == "aliyun")
    assert {(one["receiver"], one["text"], one["keyword"]) for one in found["messages"]} == {(receiver, words, "stop")}
    listed = service.client.get("/api/sms/opt-outs", query_string={"receiver": sender}).json
    assert listed is not None
    assert len(listed["opt_outs"]) == 1


@pytest.mark.parametrize("body", [[], "+8613800000000", 5, {}, {"receiver": 1}, {"receiver": "+8613800000000", "x": 1}])
def test_a_body_that_is_no_opt_out_is_refused(service: Service, body: Any) -> None:
    answer = service.post("/api/sms/opt-outs", body)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"]
    assert service.client.get("/api/sms/opt-outs").json == {"opt_outs": [], "next": None}


def test_one_unreadable_message_of_a_call_does_not_lose_the_others(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """The provider repeats the call as it is, so that a refusal would lose the STOP for good."""
    service = make_service(stand_in("aliyun"), sms_receipt_tokens="tok")
    stop = {"phone_number": "13800000000", "content": "TD", "send_time": "2017-09-01 00:00:00"}
    for bad in ({}, {"content": "TD"}, 5, None, [stop], "x"):
        assert service.post("/api/sms/inbound/aliyun/tok", [bad]).status_code == 422
        assert service.post("/api/sms/inbound/aliyun/tok", [bad, stop]).status_code == 200
        removed = service.client.delete("/api/sms/opt-outs", query_string={"receiver": "+8613800000000"})
        assert removed.status_code == 204
        stop = {**stop, "send_time": stop["send_time"] + "0"}


def test_twilios_own_signature_is_verified(stand_in: StandIn, make_service: MakeService) -> None:
    """The form of its documents, signed by its own library, with fields that come twice or are empty."""
    twilio = pytest.importorskip("twilio.request_validator")
    stand = stand_in("twilio")
    service = make_service(stand, sms_templates=WITH_OFFERS, sms_public_url="https://sms.example.com")
    fields = {
        "ToCountry": "US", "SmsMessageSid": "SM1", "NumMedia": "0", "FromZip": "", "SmsSid": "SM1", "Body": "Stop ",
        "SmsStatus": "received", "FromCountry": "US", "To": "+14155550100", "NumSegments": "1", "MessageSid": "SM1",
        "AccountSid": "AC1", "From": NUMBER, "ApiVersion": "2010-04-01", "OptOutType": "STOP",
    }  # fmt: skip
    validator = twilio.RequestValidator(stand.state.control.secret)
    signature = validator.compute_signature("https://sms.example.com/api/sms/inbound/twilio", fields)
    for headers, status in (({"X-Twilio-Signature": signature}, 200), ({"X-Twilio-Signature": "x"}, 403), ({}, 403)):
        answer = service.client.post("/api/sms/inbound/twilio", data=fields, headers=headers)
        assert answer.status_code == status
    listed = service.client.get("/api/sms/opt-outs").json
    assert listed is not None
    assert [one["reason"] for one in listed["opt_outs"]] == ["stop"]


@pytest.mark.parametrize("words", ["STOP,!!!", "\u2764\ufe0f", "STOP,start"])
def test_a_stop_word_that_opts_out_wrongly_stops_the_start(make_service: MakeService, words: str) -> None:
    """One without a letter would be in each message without letters, and START must opt in."""
    with pytest.raises(ConfigurationError, match="SMS_STOP_WORDS"):
        make_service(sms_stop_words=words)


@pytest.mark.parametrize(
    ("text", "kind", "listed"), [("ARRET", "STOP", 1), ("", "STOP", 1), ("SALUT", "HELP", 0), ("SALUT", "", 0)]
)
def test_a_keyword_that_twilio_followed_counts_in_any_language(
    stand_in: StandIn, make_service: MakeService, text: str, kind: str, listed: int
) -> None:
    """Its Advanced Opt-Out blocks the number there; the other providers must not reach it either."""
    twilio = stand_in("twilio")
    service = make_service(twilio, sms_templates=WITH_OFFERS)
    path, token = "/api/sms/inbound/twilio", twilio.state.control.secret
    body = twilio_message(text) + f"&OptOutType={kind}".encode()
    assert signed(service, path, body, token).status_code == 200
    found = service.client.get("/api/sms/opt-outs").json
    kept = service.client.get("/api/sms/inbound").json
    assert found is not None
    assert kept is not None
    assert (len(found["opt_outs"]), [one["text"] for one in kept["messages"]]) == (listed, [text])
    signed(service, path, twilio_message("DEBUT", "SM2") + b"&OptOutType=START", token)
    found = service.client.get("/api/sms/opt-outs").json
    assert found is not None
    assert found["opt_outs"] == []
