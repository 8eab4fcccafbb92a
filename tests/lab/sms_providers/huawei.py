"""Huawei's `batchSendSms/v1`, from its documents, with WSSE.

Sources: support.huaweicloud.com, "Sending SMSs", "Authentication", "API error codes", "SMS status error codes".
"""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["FAULTS", "answer", "receipt", "refuse"]

FAULTS = {"throttle": "E000622", "internal": "E000000", "account": "E000102", "blocked": "E000503"}
_SKEW_S = 24 * 3600
_MAX_RECEIVERS, _MAX_EXTEND = 500, 128
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_NUMBER = re.compile(r"\+?\d{5,20}")
_FORBIDDEN = re.compile(r"['{}<>]")


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the response to an authenticated request, with a status for each number."""
    _check(request, state, now_s)
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    for name in ("from", "to", "templateId"):
        if not form.get(name):
            raise Refusal("E000503", f"The parameter format is incorrect: {name}.")
    try:
        values = json.loads(form.get("templateParas") or "[]")
    except ValueError:
        raise Refusal("E000000", "System error.") from None
    numbers = form["to"].split(",")
    is_valid = isinstance(values, list) and all(isinstance(one, str) for one in values)
    if not is_valid or len(numbers) > _MAX_RECEIVERS or not all(map(_NUMBER.fullmatch, numbers)):
        raise Refusal("E000503")
    if len(form["templateId"]) > 32 or len(form.get("extend", "")) > _MAX_EXTEND:
        raise Refusal("E000503")
    results = [_send(number, form, values, state, seen=numbers[:place]) for place, number in enumerate(numbers)]
    is_good = all(one["status"] == "000000" for one in results)
    code, words = ("000000", "Success") if is_good else ("E000510", "The SMS fails to be sent. See status.")
    return json_answer({"code": code, "description": words, "result": results})


def refuse(error: Refusal) -> Answer:
    """Return a refusal of the whole request."""
    is_login = error.code.startswith(("E00000", "E00002", "E0001")) and error.code != "E000000"
    status = error.status or (401 if is_login else 403 if error.code == "E000620" else 400)
    return json_answer({"code": error.code, "description": error.words}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a status report for a message."""
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


def _send(number: str, form: dict[str, str], values: list[str], state: State, *, seen: list[str]) -> dict[str, Any]:
    control, template = state.control, form["templateId"]
    count = control.templates.get(template)
    if control.code:
        status = control.code
    elif number in seen:
        status = "E200041"
    elif not control.allows(number):
        status = "E200024"
    elif control.templates and count is None:
        status = "E200030"
    elif (count is not None and count != len(values)) or any(map(_FORBIDDEN.search, values)):
        status = "E200028"
    else:
        status = "E200041" if number in (*control.bad_numbers, *control.opted_out) else "000000"
    message_id = state.next_id("hw")
    if status == "000000":
        text = json.dumps(values, ensure_ascii=False)
        state.sent.append(Sent(number, text, message_id, form.get("extend", ""), form.get("statusCallback", "")))
    else:
        state.calls[f"refused: {status}"] += 1
    return {"originTo": number, "from": form["from"], "smsMsgId": message_id, "status": status, "total": 1}


def _check(request: Request, state: State, now_s: float) -> None:
    if request.path != "/sms/batchSendSms/v1" or request.method != "POST":
        raise Refusal("E000027", status=404)
    if "authorization" not in request.headers:
        raise Refusal("E000001")
    if not request.headers["authorization"].startswith("WSSE "):
        raise Refusal("E000008")
    login = dict(_FIELD.findall(request.headers["authorization"]))
    for name, value, missing, wrong in (
        ("realm", "SDP", "E000002", "E000004"),
        ("profile", "UsernameToken", "E000003", "E000005"),
        ("type", "Appkey", "E000007", "E000006"),
    ):
        if login.get(name) != value:
            raise Refusal(wrong if name in login else missing)
    if "x-wsse" not in request.headers:
        raise Refusal("E000020")
    if not request.headers["x-wsse"].startswith("UsernameToken "):
        raise Refusal("E000026")
    _check_token(dict(_FIELD.findall(request.headers["x-wsse"])), state, now_s)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refusal("E000040")


def _check_token(fields: dict[str, str], state: State, now_s: float) -> None:
    for name, missing in (
        ("Username", "E000021"),
        ("Nonce", "E000022"),
        ("Created", "E000023"),
        ("PasswordDigest", "E000024"),
    ):
        if name not in fields:
            raise Refusal(missing)
    if fields["Username"] != state.control.key:
        raise Refusal("E000102")
    try:
        at = datetime.strptime(fields["Created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("E000025") from None
    text = hashlib.sha256(f"{fields['Nonce']}{fields['Created']}{state.control.secret}".encode()).hexdigest()
    if not hmac.compare_digest(base64.b64encode(text.encode()).decode(), fields["PasswordDigest"]):
        raise Refusal("E000105")
    if abs(at.timestamp() - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("E000110")
    state.use_nonce(fields["Nonce"], "E000101")
