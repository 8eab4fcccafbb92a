"""Tencent's `SendSms` 2021-01-11, from its documents, with TC3-HMAC-SHA256.

Sources: cloud.tencent.com, "SendSms", "Signature v3", "Error codes", "SMS status callback", "SmsPackagesStatistics".
"""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any

from tests.lab.sms_providers.control import MAINLAND, Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["FAULTS", "answer", "asks_balance", "receipt", "refuse"]

FAULTS = {
    "throttle": "RequestLimitExceeded",
    "internal": "InternalError.SendAndRecvFail",
    "account": "AuthFailure.SecretIdNotFound",
    "blocked": "InvalidParameterValue.IncorrectPhoneNumber",
}
_SKEW_S = 300
_MAX_RECEIVERS, _MAX_CONTEXT = 200, 512
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/]+)/([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_E164 = re.compile(r"\+[1-9]\d{6,14}|(?:0086|86)?1\d{10}")
_URL = re.compile(r"https?://|www\.", re.IGNORECASE)


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the response to a signed request, with an outcome for each number."""
    _check(request, state, now_s)
    action = request.headers.get("x-tc-action")
    if action not in {"SendSms", "SmsPackagesStatistics"}:
        raise Refusal("InvalidAction")
    if request.headers.get("x-tc-version") != "2021-01-11":
        raise Refusal("NoSuchVersion")
    if not request.headers.get("x-tc-region"):
        raise Refusal("MissingParameter", "The request is missing a required parameter `Region`.")
    if action == "SmsPackagesStatistics":
        return _packages(request, state, now_s)
    wanted = _read(request)
    numbers, values = wanted["PhoneNumberSet"], wanted.get("TemplateParamSet") or []
    kinds = {not one.startswith("+") or one.startswith(MAINLAND) for one in numbers}
    if len(numbers) > _MAX_RECEIVERS:
        raise Refusal("LimitExceeded.PhoneNumberCountLimit")
    if len(kinds) > 1:
        raise Refusal("UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber")
    if not all(isinstance(one, str) for one in values):
        raise Refusal("InvalidParameterValue.TemplateParameterFormatError")
    if len(str(wanted.get("SessionContext", "")).encode()) >= _MAX_CONTEXT:
        raise Refusal("InvalidParameterValue")
    outcomes = [_send(one, wanted, values, state, is_mainland=True in kinds) for one in numbers]
    return json_answer({"Response": {"SendStatusSet": outcomes, "RequestId": "R"}})


def _packages(request: Request, state: State, now_s: float) -> Answer:
    """Return a package in use, one of which nothing is left, and one that has expired."""
    wanted = request.json()
    begin, end = (
        datetime.strptime(wanted[name], "%Y%m%d%H").replace(tzinfo=UTC).timestamp() for name in ("BeginTime", "EndTime")
    )
    if not begin < end <= now_s or not 0 < wanted["Limit"] <= 500 or not wanted["SmsSdkAppId"]:
        raise Refusal("InvalidParameterValue")
    left = round(state.control.balance)
    packages = [(left + 100, 100, 86_400), (500, 500, 86_400), (1000, 0, -1)]
    return json_answer(
        {
            "Response": {
                "SmsPackagesStatisticsSet": [
                    {
                        "PackageCreateTime": round(now_s) - 86_400,
                        "PackageEffectiveTime": round(now_s) - 86_400,
                        "PackageExpiredTime": round(now_s) + until_s,
                        "PackageAmount": amount,
                        "PackageType": 1,
                        "PackageId": at,
                        "CurrentUsage": used,
                    }
                    for at, (amount, used, until_s) in enumerate(packages)
                ],
                "RequestId": "R",
            }
        }
    )


def asks_balance(request: Request) -> bool:
    """Return whether a request asks what is left of the account."""
    return request.headers.get("x-tc-action") == "SmsPackagesStatistics"


def refuse(error: Refusal) -> Answer:
    """Return a refusal of the whole request; its status is 200."""
    error_ = {"Code": error.code, "Message": error.words}
    return json_answer({"Response": {"Error": error_, "RequestId": "R"}}, error.status or 200)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a status callback for a message."""
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


def _send(number: str, wanted: dict[str, Any], values: list[str], state: State, *, is_mainland: bool) -> dict[str, Any]:
    control, template = state.control, wanted["TemplateId"]
    count = control.templates.get(template)
    if control.code:
        code = control.code
    elif not _E164.fullmatch(number) or number in control.bad_numbers:
        code = "InvalidParameterValue.IncorrectPhoneNumber"
    elif number in control.opted_out:
        code = "FailedOperation.PhoneNumberInBlacklist"
    elif not control.allows(number):
        code = "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone"
    elif is_mainland and not wanted.get("SignName"):
        code = "FailedOperation.SignatureIncorrectOrUnapproved"
    elif control.templates and count is None:
        code = "FailedOperation.TemplateIncorrectOrUnapproved"
    elif count is not None and count != len(values):
        code = "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
    elif any(_URL.search(one) for one in values):
        code = "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter"
    else:
        code = "Ok"
    serial, context = state.next_id("2019:"), str(wanted.get("SessionContext", ""))
    if code == "Ok":
        state.sent.append(Sent(number, json.dumps(values, ensure_ascii=False), serial, context))
    else:
        state.calls[f"refused: {code}"] += 1
    return {
        "SerialNo": serial if code == "Ok" else "",
        "PhoneNumber": number,
        "Fee": int(code == "Ok"),
        "SessionContext": context,
        "Code": code,
        "Message": "send success" if code == "Ok" else f"{number}: {' '.join(values)}",
        "IsoCode": "CN" if is_mainland else "",
    }


def _read(request: Request) -> dict[str, Any]:
    try:
        wanted = request.json()
    except ValueError:
        raise Refusal("InvalidParameter", "the body is not JSON") from None
    for name in ("PhoneNumberSet", "SmsSdkAppId", "TemplateId"):
        if not wanted.get(name):
            missing = "MissingParameter.EmptyPhoneNumberSet" if name == "PhoneNumberSet" else "MissingParameter"
            raise Refusal(missing, f"The request is missing a required parameter `{name}`.")
    known = {"ExtendCode", "PhoneNumberSet", "SenderId", "SessionContext", "SignName", "SmsSdkAppId", "TemplateId"}
    if unknown := set(wanted) - known - {"TemplateParamSet"}:
        raise Refusal("UnknownParameter", f"The parameter `{min(unknown)}` is not recognized.")
    found: dict[str, Any] = wanted
    return found


def _check(request: Request, state: State, now_s: float) -> None:
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refusal("AuthFailure.InvalidAuthorization")
    key, scope, signed, signature = found.groups()
    if key != state.control.key:
        raise Refusal("AuthFailure.SecretIdNotFound")
    names, at = signed.split(";"), request.headers.get("x-tc-timestamp", "0")
    if abs(int(at) - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("AuthFailure.SignatureExpire")
    lines = "".join(f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n/\n\n{lines}\n{signed}\n{body}"
    date = f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%d}"
    text = f"TC3-HMAC-SHA256\n{at}\n{date}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    derived = f"TC3{state.control.secret}".encode()
    for part in (date, "sms", "tc3_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    is_equal = hmac.compare_digest(hmac.digest(derived, text.encode(), "sha256").hex(), signature)
    if names != sorted(names) or not {"content-type", "host"} <= set(names) or scope != f"{date}/sms/tc3_request":
        raise Refusal("AuthFailure.SignatureFailure")
    if not is_equal:
        raise Refusal("AuthFailure.SignatureFailure")
