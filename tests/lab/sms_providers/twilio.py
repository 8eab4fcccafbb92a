"""Twilio's `Messages.json` as it is seen from outside, and the signature of its callbacks."""

import base64
import hmac
from urllib.parse import parse_qsl, urlencode

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["answer", "receipt", "refuse", "sign_callback"]

_REFUSALS = {
    "throttle": (429, 20429),
    "temporary": (500, 20500),
    "account": (401, 20003),
    "blocked": (400, 21610),
    "params": (400, 21602),
    "number": (400, 21211),
}


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer to a request that may be sent."""
    login = base64.b64encode(f"{state.control.key}:{state.control.secret}".encode()).decode()
    if not hmac.compare_digest(request.headers.get("authorization", ""), f"Basic {login}"):
        raise Refusal("account")
    if request.path != f"/2010-04-01/Accounts/{state.control.key}/Messages.json" or request.method != "POST":
        raise Refusal("params")
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    number = form.get("To", "")
    if not form.get("Body") or not (form.get("From") or form.get("MessagingServiceSid")) or len(form["Body"]) > 1600:
        raise Refusal("params")
    if not number.startswith("+"):
        raise Refusal("number")
    if number in state.control.bad_numbers:
        raise Refusal("blocked")
    sid = state.next_id("SM" + "0" * 24)
    state.sent.append(Sent(number, form["Body"], sid, "", form.get("StatusCallback", "")))
    document = {"sid": sid, "status": "queued", "to": number, "num_segments": "1", "error_code": None}
    return json_answer({**document, "error_message": None, "account_sid": state.control.key}, 201)


def refuse(kind: str, why: str = "") -> Answer:
    """Return a refusal in the provider's words."""
    status, code = _REFUSALS[kind]
    return json_answer({"code": code, "message": why or kind, "more_info": "", "status": status}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a callback on a text."""
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
