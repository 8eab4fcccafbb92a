"""Twilio's `Messages.json` of 2010-04-01, from its documents, and the signature of its callbacks.

Sources: twilio.com/docs, "Message resource", "Error and warning dictionary", "Webhooks security", "Balance".
"""

import base64
import hmac
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["FAULTS", "answer", "asks_balance", "receipt", "refuse", "sign_callback"]

FAULTS = {"throttle": "20429", "internal": "20500", "account": "20003", "blocked": "21614"}
_STATUS = {"20003": 401, "20404": 404, "20429": 429, "20500": 500, "20503": 503, "21408": 403, "90010": 403}
_WORDS = {
    "21211": "The 'To' number {} is not a valid phone number.",
    "21408": "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {}",
    "21610": "Attempt to send to unsubscribed recipient {}",
    "21614": "'To' number {} is not a valid mobile number",
}
_MAX_BODY = 1600
_TO = re.compile(r"\+[1-9]\d{6,14}")
_SENDER = re.compile(r"\+[1-9]\d{4,14}|[A-Za-z0-9 ]{1,11}|\d{3,8}")


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the response to a request: the message as it was created."""
    control = state.control
    login = base64.b64encode(f"{control.key}:{control.secret}".encode()).decode()
    if not hmac.compare_digest(request.headers.get("authorization", ""), f"Basic {login}"):
        raise Refusal("20003", "Authenticate")
    if (request.method, request.path) == ("GET", f"/2010-04-01/Accounts/{control.key}/Balance.json"):
        return json_answer({"account_sid": control.key, "balance": str(control.balance), "currency": "USD"})
    if request.path != f"/2010-04-01/Accounts/{control.key}/Messages.json":
        raise Refusal("20404", f"The requested resource {request.path} was not found")
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    number, body, sender = form.get("To", ""), form.get("Body", ""), form.get("From", "")
    code = control.code or _fault(number, body, sender, form, state)
    if code:
        words = _WORDS.get(code, "The request to {} failed").format(number)
        raise Refusal(code, f"{words} ({body})" if control.code else words)
    sid = state.next_id("SM" + "0" * 24)
    state.sent.append(Sent(number, body, sid, "", form.get("StatusCallback", "")))
    document = {"sid": sid, "status": "queued", "to": number, "num_segments": "1", "error_code": None}
    return json_answer({**document, "error_message": None, "account_sid": control.key}, 201)


def asks_balance(request: Request) -> bool:
    """Return whether a request asks what is left of the account."""
    return request.path.endswith("/Balance.json")


def refuse(error: Refusal) -> Answer:
    """Return an error with its code; most have the status 400."""
    status = error.status or _STATUS.get(error.code, 400)
    info = f"https://www.twilio.com/docs/errors/{error.code}"
    return json_answer({"code": int(error.code), "message": error.words, "more_info": info, "status": status}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a callback for a message."""
    fields = {
        "MessageSid": sent.provider_id,
        "MessageStatus": "delivered" if delivered else "undelivered",
        "To": sent.receiver,
        **({} if delivered else {"ErrorCode": "30003"}),
    }
    return "application/x-www-form-urlencoded", urlencode(fields).encode()


def sign_callback(url: str, body: bytes, token: str) -> str:
    """Return the header `X-Twilio-Signature` of a callback."""
    fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
    text = url + "".join(name + value for name, value in fields)
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def _fault(number: str, body: str, sender: str, form: dict[str, str], state: State) -> str:
    """Return the code of the first rule that a form breaks; empty for none."""
    callback = urlsplit(form.get("StatusCallback", "https://x"))
    service = form.get("MessagingServiceSid", "")
    rules = (
        (not number, "21604"),
        (not sender and not service, "21603"),
        (not body, "21602"),
        (len(body) > _MAX_BODY, "21617"),
        (not _TO.fullmatch(number), "21211"),
        (bool(sender) and not _SENDER.fullmatch(sender), "21212"),
        (bool(service) and not service.startswith("MG"), "21701"),
        (sender == number, "21266"),
        (callback.scheme not in {"http", "https"} or not callback.netloc, "21609"),
        (not state.control.allows(number), "21408"),
        (number in state.control.opted_out, "21610"),
        (number in state.control.bad_numbers, "21614"),
    )
    return next((code for is_broken, code in rules if is_broken), "")
