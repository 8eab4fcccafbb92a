"""Tencent's `SendSms` as it is seen from outside, with TC3-HMAC-SHA256."""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["answer", "receipt", "refuse"]

_REFUSALS = {
    "throttle": "RequestLimitExceeded",
    "temporary": "InternalError.OtherError",
    "account": "AuthFailure.SecretIdNotFound",
    "blocked": "FailedOperation.PhoneNumberInBlacklist",
    "signature": "AuthFailure.SignatureFailure",
    "time": "AuthFailure.SignatureExpire",
    "params": "InvalidParameterValue.IncorrectPhoneNumber",
}
_SKEW_S = 300
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/]+)/([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer to a request that may be sent."""
    _check(request, state, now_s)
    if request.headers.get("x-tc-version") != "2021-01-11" or request.headers.get("x-tc-action") != "SendSms":
        raise Refusal("params")
    try:
        wanted = request.json()
        numbers, values = wanted["PhoneNumberSet"], wanted.get("TemplateParamSet") or []
        needed = wanted["SmsSdkAppId"] and wanted["TemplateId"]
    except (KeyError, ValueError, TypeError):
        raise Refusal("params") from None
    if not needed or not 1 <= len(numbers) <= 200 or not all(isinstance(one, str) for one in values):
        raise Refusal("params")
    statuses = []
    for number in numbers:
        is_bad = number in state.control.bad_numbers
        serial = state.next_id("2019:")
        if not is_bad:
            text = json.dumps(values, ensure_ascii=False)
            state.sent.append(Sent(number, text, serial, wanted.get("SessionContext", "")))
        statuses.append(
            {
                "SerialNo": "" if is_bad else serial,
                "PhoneNumber": number,
                "Fee": 0 if is_bad else 1,
                "SessionContext": wanted.get("SessionContext", ""),
                "Code": _REFUSALS["blocked"] if is_bad else "Ok",
                "Message": "blocked" if is_bad else "send success",
                "IsoCode": "CN",
            }
        )
    return json_answer({"Response": {"SendStatusSet": statuses, "RequestId": "R"}})


def refuse(kind: str, why: str = "") -> Answer:
    """Return a refusal in the provider's words."""
    return json_answer({"Response": {"Error": {"Code": _REFUSALS[kind], "Message": why or kind}, "RequestId": "R"}})


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a report on a text."""
    report = {
        "user_receive_time": "2026-01-01 11:12:15",
        "nationcode": "86",
        "mobile": sent.receiver.removeprefix("+86"),
        "report_status": "SUCCESS" if delivered else "FAIL",
        "errmsg": "DELIVRD" if delivered else "UNDELIV",
        "description": "" if delivered else "空号",
        "sid": sent.provider_id,
    }
    return "application/json", json.dumps([report]).encode()


def _check(request: Request, state: State, now_s: float) -> None:
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refusal("signature")
    key, scope, signed, signature = found.groups()
    if key != state.control.key:
        raise Refusal("account")
    names = signed.split(";")
    if names != sorted(names) or not {"content-type", "host"} <= set(names):
        raise Refusal("signature")
    at = request.headers.get("x-tc-timestamp", "0")
    lines = "".join(f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n/\n\n{lines}\n{signed}\n{body}"
    date = f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%d}"
    text = f"TC3-HMAC-SHA256\n{at}\n{date}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    derived = f"TC3{state.control.secret}".encode()
    for part in (date, "sms", "tc3_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if scope != f"{date}/sms/tc3_request" or not hmac.compare_digest(
        hmac.digest(derived, text.encode(), "sha256").hex(), signature
    ):
        raise Refusal("signature")
    if abs(int(at) - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("time")
