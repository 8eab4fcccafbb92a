"""Amazon's End User Messaging (`SendTextMessage`) and SNS (`Publish`), from their documents, with SigV4.

Sources: docs.aws.amazon.com, "SendTextMessage", "Publish", "Common errors", "Signature Version 4"; botocore's models.
"""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["FAULTS", "SNS_FAULTS", "answer", "answer_sns", "receipt", "refuse", "refuse_sns"]

FAULTS = {
    "throttle": "ThrottlingException",
    "internal": "InternalServerException",
    "account": "UnrecognizedClientException",
    "blocked": "ValidationException/FIELD_VALIDATION_FAILED",
}
SNS_FAULTS = {
    "throttle": "Throttled",
    "internal": "InternalError",
    "account": "InvalidClientTokenId",
    "blocked": "InvalidParameter",
}
_SERVER_FAULTS = {"InternalServerException", "InternalError", "InternalFailure"}
_FORBIDDEN = {"InvalidClientTokenId", "SignatureDoesNotMatch", "AuthorizationError", "InvalidSecurity", "OptInRequired"}
_SKEW_S = 300
_MAX_BODY = 1600
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_NUMBER = re.compile(r"\+?[1-9][0-9]{1,18}")
_MEMBERS = {
    "ConfigurationSetName": str,
    "Context": dict,
    "DestinationCountryParameters": dict,
    "DestinationPhoneNumber": str,
    "DryRun": bool,
    "Keyword": str,
    "MaxPrice": str,
    "MessageBody": str,
    "MessageFeedbackEnabled": bool,
    "MessageType": str,
    "OriginationIdentity": str,
    "ProtectConfigurationId": str,
    "TimeToLive": int,
}


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the response of End User Messaging to a signed request."""
    _check(request, "sms-voice", state, now_s, "UnrecognizedClientException", "InvalidSignatureException")
    if request.headers.get("x-amz-target") != "PinpointSMSVoiceV2.SendTextMessage":
        raise Refusal("UnknownOperationException")
    wanted = request.json()
    number, text = wanted.get("DestinationPhoneNumber", ""), wanted.get("MessageBody", "")
    if state.control.code:
        raise Refusal(state.control.code, f"{number}: {text}")
    if "DestinationPhoneNumber" not in wanted:
        raise Refusal("ValidationException/MISSING_PARAMETER")
    is_typed = all(name in _MEMBERS and isinstance(value, _MEMBERS[name]) for name, value in wanted.items())
    is_sized = bool(text.strip()) and len(text) <= _MAX_BODY and len(wanted.get("Context", {})) <= 5
    if not is_typed or not is_sized or not _NUMBER.fullmatch(number) or number in state.control.bad_numbers:
        raise Refusal("ValidationException/FIELD_VALIDATION_FAILED", f"{number} is not valid")
    if wanted.get("MessageType", "TRANSACTIONAL") not in {"TRANSACTIONAL", "PROMOTIONAL"}:
        raise Refusal("ValidationException/FIELD_VALIDATION_FAILED")
    if number in state.control.opted_out:
        raise Refusal("ConflictException/DESTINATION_PHONE_NUMBER_OPTED_OUT", f"{number} has opted out")
    if not state.control.allows(number):
        raise Refusal("ConflictException/DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION")
    message_id = state.next_id("eum-")
    state.sent.append(Sent(number, text, message_id, wanted.get("Context", {}).get("message_id", "")))
    return json_answer({"MessageId": message_id}, headers={"Content-Type": "application/x-amz-json-1.0"})


def refuse(error: Refusal) -> Answer:
    """Return an exception of End User Messaging, with its `Reason` where it has one."""
    name, _, reason = error.code.partition("/")
    body = {"__type": f"com.amazonaws.pinpointsmsvoicev2#{name}", "Message": error.words}
    status = error.status or (500 if name in _SERVER_FAULTS else 400)
    return json_answer({**body, **({"Reason": reason} if reason else {})}, status)


def answer_sns(request: Request, state: State, now_s: float) -> Answer:
    """Return the response of SNS to a signed request."""
    _check(request, "sns", state, now_s, "InvalidClientTokenId", "SignatureDoesNotMatch")
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    number, text = form.get("PhoneNumber", ""), form.get("Message", "")
    if state.control.code:
        raise Refusal(state.control.code, f"{number}: {text}")
    if form.get("Action") != "Publish" or form.get("Version") != "2010-03-31":
        raise Refusal("InvalidAction")
    if not re.fullmatch(r"\+[1-9]\d{6,14}", number) or number in state.control.bad_numbers:
        raise Refusal("InvalidParameter", f"Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to")
    if not text or len(text) > _MAX_BODY:
        raise Refusal("InvalidParameter", "Invalid parameter: Message too long" if text else "Empty message")
    for name, value in form.items():
        if name.endswith(".Value.DataType") and value not in {"String", "Number", "Binary"}:
            raise Refusal("ParameterValueInvalid", name)
    if number in state.control.opted_out:
        raise Refusal("OptedOut", f"{number} is opted out")
    message_id = state.next_id("sns-")
    state.sent.append(Sent(number, text, message_id))
    body = f"<PublishResponse><PublishResult><MessageId>{message_id}</MessageId></PublishResult></PublishResponse>"
    return Answer(200, body.encode(), {"Content-Type": "text/xml"})


def refuse_sns(error: Refusal) -> Answer:
    """Return an error of SNS in XML."""
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.words)}</Message>"
    status = error.status or (500 if error.code in _SERVER_FAULTS else 403 if error.code in _FORBIDDEN else 400)
    body += "</Error><RequestId>R</RequestId></ErrorResponse>"
    return Answer(status, body.encode(), {"Content-Type": "text/xml"})


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of an event for a message, as an SNS message contains it."""
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


def _check(request: Request, service: str, state: State, now_s: float, bad_key: str, bad_signature: str) -> None:
    if "authorization" not in request.headers:
        raise Refusal("MissingAuthenticationTokenException" if service != "sns" else "MissingAuthenticationToken")
    found = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    if found is None:
        raise Refusal("IncompleteSignature")
    key, date, region, named, signed, signature = found.groups()
    if key != state.control.key:
        raise Refusal(bad_key)
    names = signed.split(";")
    time = request.headers.get("x-amz-date", "")
    if names != sorted(names) or not {"host", "x-amz-date"} <= set(names) or named != service:
        raise Refusal(bad_signature)
    lines = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{request.path}\n\n{lines}\n{signed}\n{body}"
    scope = f"{date}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    derived = f"AWS4{state.control.secret}".encode()
    for part in (date, region, service, "aws4_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(derived, text.encode(), "sha256").hex(), signature):
        raise Refusal(bad_signature)
    at = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    if abs(at - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal(bad_signature, f"Signature expired: {time}")
