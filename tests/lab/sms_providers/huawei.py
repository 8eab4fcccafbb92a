"""Huawei's `batchSendSms/v1` as it is seen from outside, with WSSE."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["answer", "receipt", "refuse"]

_REFUSALS = {
    "throttle": (200, "E000622"),
    "temporary": (200, "E000000"),
    "account": (401, "E000102"),
    "blocked": (200, "E000510"),
    "signature": (401, "E000101"),
    "nonce": (401, "E000024"),
    "time": (401, "E000025"),
    "params": (400, "E000503"),
}
_SKEW_S = 24 * 3600
_FIELD = re.compile(r'(\w+)="([^"]*)"')


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer to a request that may be sent."""
    _check(request, state, now_s)
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    try:
        values = json.loads(form.get("templateParas", "[]"))
        numbers = form["to"].split(",")
        needed = form["from"] and form["templateId"]
    except (KeyError, ValueError):
        raise Refusal("params") from None
    if not needed or not 1 <= len(numbers) <= 500 or not all(isinstance(one, str) for one in values):
        raise Refusal("params")
    results = []
    for number in numbers:
        is_bad = number in state.control.bad_numbers
        message_id = state.next_id("hw")
        if not is_bad:
            text = json.dumps(values, ensure_ascii=False)
            state.sent.append(Sent(number, text, message_id, form.get("extend", ""), form.get("statusCallback", "")))
        status = "E200015" if is_bad else "000000"
        results.append({"originTo": number, "from": form["from"], "smsMsgId": message_id, "status": status})
    code = "000000" if all(one["status"] == "000000" for one in results) else "E000510"
    return json_answer({"code": code, "description": "Success" if code == "000000" else "Some", "result": results})


def refuse(kind: str, why: str = "") -> Answer:
    """Return a refusal in the provider's words."""
    status, code = _REFUSALS[kind]
    if kind == "blocked":
        result = [{"originTo": why, "smsMsgId": "", "status": "E200015"}]
        return json_answer({"code": code, "description": "SMS send failed", "result": result}, status)
    return json_answer({"code": code, "description": why or code}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a report on a text."""
    fields = {
        "smsMsgId": sent.provider_id,
        "total": "1",
        "sequence": "1",
        "status": "DELIVRD" if delivered else "UNDELIV",
        "source": "2",
        "updateTime": "2026-01-01T11:12:15Z",
        "orgCode": "DELIVRD" if delivered else "MK:0001",
        "extend": sent.echo,
        "to": sent.receiver,
    }
    return "application/x-www-form-urlencoded", urlencode(fields).encode()


def _check(request: Request, state: State, now_s: float) -> None:
    if request.path != "/sms/batchSendSms/v1" or request.method != "POST":
        raise Refusal("params")
    if request.headers.get("authorization") != 'WSSE realm="SDP",profile="UsernameToken",type="Appkey"':
        raise Refusal("signature")
    fields = dict(_FIELD.findall(request.headers.get("x-wsse", "")))
    if fields.get("Username") != state.control.key:
        raise Refusal("account")
    nonce, created = fields.get("Nonce", ""), fields.get("Created", "")
    text = hashlib.sha256(f"{nonce}{created}{state.control.secret}".encode()).hexdigest()
    if not hmac.compare_digest(base64.b64encode(text.encode()).decode(), fields.get("PasswordDigest", "")):
        raise Refusal("signature")
    try:
        at = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("time") from None
    if abs(at.timestamp() - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("time")
    if nonce in state.nonces:
        raise Refusal("nonce")
    state.nonces.add(nonce)
