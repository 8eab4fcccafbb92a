"""Amazon's SNS `Publish` and End User Messaging's `SendTextMessage` as they are seen from outside, with SigV4."""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["answer", "answer_sns", "receipt", "refuse", "refuse_sns"]

_REFUSALS = {
    "throttle": (400, "ThrottlingException"),
    "temporary": (500, "InternalServerException"),
    "account": (400, "UnrecognizedClientException"),
    "blocked": (400, "ValidationException"),
    "signature": (400, "InvalidSignatureException"),
    "time": (400, "InvalidSignatureException"),
    "params": (400, "ValidationException"),
}
_SNS_REFUSALS = {
    "throttle": (400, "Throttling"),
    "temporary": (500, "InternalError"),
    "account": (403, "InvalidClientTokenId"),
    "blocked": (400, "OptedOut"),
    "signature": (403, "SignatureDoesNotMatch"),
    "time": (403, "SignatureDoesNotMatch"),
    "params": (400, "InvalidParameter"),
}
_SKEW_S = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer of End User Messaging to a request that may be sent."""
    _check(request, "sms-voice", state, now_s)
    if request.headers.get("x-amz-target") != "PinpointSMSVoiceV2.SendTextMessage":
        raise Refusal("params")
    wanted = request.json()
    number, text = wanted.get("DestinationPhoneNumber", ""), wanted.get("MessageBody", "")
    if not number.startswith("+") or not text:
        raise Refusal("params")
    if number in state.control.bad_numbers:
        raise Refusal("blocked")
    message_id = state.next_id("eum-")
    state.sent.append(Sent(number, text, message_id, (wanted.get("Context") or {}).get("message_id", "")))
    return json_answer({"MessageId": message_id}, headers={"Content-Type": "application/x-amz-json-1.0"})


def refuse(kind: str, why: str = "") -> Answer:
    """Return a refusal of End User Messaging in its words."""
    status, code = _REFUSALS[kind]
    return json_answer({"__type": f"com.amazonaws.sms#{code}", "Message": why or kind}, status)


def answer_sns(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer of SNS to a request that may be sent."""
    _check(request, "sns", state, now_s)
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    number, text = form.get("PhoneNumber", ""), form.get("Message", "")
    if form.get("Action") != "Publish" or not number.startswith("+") or not text:
        raise Refusal("params")
    if number in state.control.bad_numbers:
        raise Refusal("blocked")
    message_id = state.next_id("sns-")
    state.sent.append(Sent(number, text, message_id))
    body = f"<PublishResponse><PublishResult><MessageId>{message_id}</MessageId></PublishResult></PublishResponse>"
    return Answer(200, body.encode(), {"Content-Type": "text/xml"})


def refuse_sns(kind: str, why: str = "") -> Answer:
    """Return a refusal of SNS in its words."""
    status, code = _SNS_REFUSALS[kind]
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{why or kind}</Message></Error>"
    return Answer(status, f"{body}<RequestId>R</RequestId></ErrorResponse>".encode(), {"Content-Type": "text/xml"})


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of an event on a text, as it stands in a message of SNS."""
    event = {
        "eventType": "TEXT_DELIVERED" if delivered else "TEXT_BLOCKED",
        "eventVersion": "1.0",
        "eventTimestamp": 1767265935000,
        "isFinal": True,
        "destinationPhoneNumber": sent.receiver,
        "messageId": sent.provider_id,
        "messageStatus": "DELIVERED" if delivered else "BLOCKED",
        "messageStatusDescription": "Message has been accepted by phone" if delivered else "Blocked",
        "context": {"message_id": sent.echo},
    }
    return "application/json", json.dumps(event).encode()


def _check(request: Request, service: str, state: State, now_s: float) -> None:
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refusal("signature")
    key, date, region, named, signed, signature = found.groups()
    if key != state.control.key:
        raise Refusal("account")
    names = signed.split(";")
    time = request.headers.get("x-amz-date", "")
    if names != sorted(names) or not {"host", "x-amz-date"} <= set(names) or named != service:
        raise Refusal("signature")
    lines = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{request.path}\n\n{lines}\n{signed}\n{body}"
    scope = f"{date}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    derived = f"AWS4{state.control.secret}".encode()
    for part in (date, region, service, "aws4_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(derived, text.encode(), "sha256").hex(), signature):
        raise Refusal("signature")
    at = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    if abs(at - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("time")
