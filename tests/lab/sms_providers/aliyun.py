"""Aliyun's dysmsapi 2017-05-25, from its documents: signatures v1 and v3, sending, batches and the query.

Sources: help.aliyun.com, "SendSms", "SendBatchSms", "QuerySendDetails", "API error codes", "Limits of variables".
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["FAULTS", "answer", "receipt", "refuse"]

FAULTS = {
    "throttle": "isv.DAY_LIMIT_CONTROL",
    "internal": "isp.SYSTEM_ERROR",
    "account": "InvalidAccessKeyId.NotFound",
    "blocked": "isv.MOBILE_NUMBER_ILLEGAL",
}
_STATUS = {"InvalidAccessKeyId.NotFound": 404, "InvalidAction.NotFound": 404, "InternalError": 500, "Forbidden": 403}
_SKEW_S = 15 * 60
_CHINA = timezone(timedelta(hours=8))
_MAX_RECEIVERS, _MAX_BATCH, _MAX_VALUE, _MAX_OUT_ID = 1000, 100, 35, 255
_MAINLAND = re.compile(r"(?:\+86|0086|86)?(1[3-9]\d{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9]\d{6,14})")
_URL = re.compile(r"https?://|www\.", re.IGNORECASE)


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the response to a signed request; parameters may stand in the query or in a form."""
    pairs = parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
    if "urlencoded" in request.headers.get("content-type", ""):
        pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
    params = dict(pairs)
    if "authorization" in request.headers:
        action, nonce, version = _check_v3(request, state, now_s)
    else:
        action, nonce, version = _check_v1(request.method, params, state, now_s)
    state.use_nonce(nonce, "SignatureNonceUsed")
    if version != "2017-05-25":
        raise Refusal("InvalidVersion", "Specified parameter Version is not valid.", 400)
    if state.control.code:
        raise Refusal(state.control.code, f"{params.get('PhoneNumbers', '')} {params.get('TemplateParam', '')}")
    match action:
        case "QuerySendDetails":
            return _details(params, state)
        case "SendSms":
            numbers = _needed(params, "PhoneNumbers").split(",")
            texts, limit = [params.get("TemplateParam", "{}")] * len(numbers), _MAX_RECEIVERS
            signs = [_needed(params, "SignName")] * len(numbers)
        case "SendBatchSms":
            numbers, signs = (_list(params, name) for name in ("PhoneNumberJson", "SignNameJson"))
            texts, limit = [json.dumps(one) for one in _list(params, "TemplateParamJson")], _MAX_BATCH
            if not len(numbers) == len(texts) == len(signs):
                raise Refusal("isv.INVALID_PARAMETERS")
        case _:
            raise Refusal("InvalidAction.NotFound", "Specified api is not found.")
    if len(numbers) > limit:
        raise Refusal("isv.MOBILE_COUNT_OVER_LIMIT")
    if not all(signs):
        raise Refusal("isv.SMS_SIGNATURE_ILLEGAL")
    day = f"{datetime.fromtimestamp(now_s, _CHINA):%Y%m%d}"
    return _send(params, state, [_e164(one) for one in numbers], texts, day)


def refuse(error: Refusal) -> Answer:
    """Return a refusal; those of the gateway have a status of 400 and above."""
    is_own = error.code.startswith(("isv.", "isp."))
    status = error.status or _STATUS.get(error.code, 200 if is_own else 400)
    return json_answer({"Code": error.code, "Message": error.words, "RequestId": "R", "HostId": "h"}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of `SmsReport` for a message."""
    report = {
        "phone_number": sent.receiver.removeprefix("+86").removeprefix("+"),
        "send_time": "2026-01-01 11:12:13",
        "report_time": "2026-01-01 11:12:15",
        "success": delivered,
        "err_code": "DELIVERED" if delivered else "MK:0001",
        "err_msg": "用户接收成功" if delivered else "空号",
        "sms_size": "1",
        "biz_id": sent.provider_id,
        "out_id": sent.echo,
    }
    return "application/json", json.dumps([report]).encode()


def _send(params: Mapping[str, str], state: State, numbers: list[str], texts: list[str], day: str) -> Answer:
    control, template = state.control, _needed(params, "TemplateCode")
    if control.templates and template not in control.templates:
        raise Refusal("isv.SMS_TEMPLATE_ILLEGAL")
    for text in texts:
        _check_values(text, control.templates.get(template))
    if len(params.get("OutId", "").encode()) > _MAX_OUT_ID:
        raise Refusal("isv.INVALID_PARAMETERS")
    if set(control.bad_numbers) & set(numbers):
        raise Refusal("isv.MOBILE_NUMBER_ILLEGAL")
    if set(control.opted_out) & set(numbers):
        raise Refusal("isv.CUSTOMER_REFUSED")
    if not all(map(control.allows, numbers)):
        raise Refusal("isv.DOMESTIC_NUMBER_NOT_SUPPORTED")
    biz_id = state.next_id("9006")
    for number, text in zip(numbers, texts, strict=True):
        state.sent.append(Sent(number, text, biz_id, params.get("OutId", ""), day=day))
    return json_answer({"Code": "OK", "Message": "OK", "BizId": biz_id, "RequestId": "R"})


def _check_values(text: str, count: int | None) -> None:
    try:
        values: list[Any] = list(json.loads(text).values())
    except (ValueError, AttributeError):
        raise Refusal("isv.INVALID_JSON_PARAM") from None
    if not all(isinstance(one, str) for one in values):
        raise Refusal("isv.INVALID_JSON_PARAM")
    if count is not None and len(values) < count:
        raise Refusal("isv.TEMPLATE_MISSING_PARAMETERS")
    if any(len(one) > _MAX_VALUE for one in values):
        raise Refusal("isv.PARAM_LENGTH_LIMIT")
    if any(_URL.search(one) for one in values):
        raise Refusal("isv.PARAM_NOT_SUPPORT_URL")


def _check_v1(method: str, params: Mapping[str, str], state: State, now_s: float) -> tuple[str, str, str]:
    rest = {name: value for name, value in params.items() if name != "Signature"}
    if "AccessKeyId" not in rest:
        raise Refusal("MissingAccessKeyId")
    if rest["AccessKeyId"] != state.control.key:
        raise Refusal("InvalidAccessKeyId.NotFound")
    if rest.get("SignatureMethod") != "HMAC-SHA1" or rest.get("SignatureVersion") != "1.0":
        raise Refusal("IncompleteSignature")
    query = "&".join(f"{_quoted(name)}={_quoted(rest[name])}" for name in sorted(rest))
    text = f"{method}&%2F&{_quoted(query)}"
    expected = base64.b64encode(hmac.digest(f"{state.control.secret}&".encode(), text.encode(), "sha1")).decode()
    if not hmac.compare_digest(expected, params.get("Signature", "")):
        raise Refusal("SignatureDoesNotMatch", f"server string to sign is:{text}")
    _check_time(rest.get("Timestamp", ""), state, now_s)
    return rest.get("Action", ""), rest.get("SignatureNonce", ""), rest.get("Version", "")


def _check_v3(request: Request, state: State, now_s: float) -> tuple[str, str, str]:
    scheme, _, rest = request.headers["authorization"].partition(" ")
    parts = dict(one.strip().split("=", 1) for one in rest.split(",") if "=" in one)
    if scheme != "ACS3-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= set(parts):
        raise Refusal("IncompleteSignature")
    if parts["Credential"] != state.control.key:
        raise Refusal("InvalidAccessKeyId.NotFound")
    names = parts["SignedHeaders"].split(";")
    digest = hashlib.sha256(request.body).hexdigest()
    needed = {"host", *(name for name in request.headers if name.startswith("x-acs-"))}
    needed |= {"x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
    if names != sorted(names) or not needed <= set(names) or request.headers.get("x-acs-content-sha256") != digest:
        raise Refusal("SignatureDoesNotMatch", "headers that must be signed are not")
    query = "&".join(
        f"{_quoted(name)}={_quoted(value)}"
        for name, value in sorted(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
    )
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    canonical = f"{request.method}\n{request.path}\n{query}\n{lines}\n{';'.join(names)}\n{digest}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    expected = hmac.digest(state.control.secret.encode(), text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected, parts["Signature"]):
        raise Refusal("SignatureDoesNotMatch", canonical)
    headers = request.headers
    _check_time(headers["x-acs-date"], state, now_s)
    return headers["x-acs-action"], headers["x-acs-signature-nonce"], headers["x-acs-version"]


def _check_time(text: str, state: State, now_s: float) -> None:
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("InvalidTimeStamp.Format") from None
    if abs(at.timestamp() - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("InvalidTimeStamp.Expired")


def _details(params: Mapping[str, str], state: State) -> Answer:
    number = _e164(_needed(params, "PhoneNumber"))
    day, size = _needed(params, "SendDate"), int(_needed(params, "PageSize"))
    if not re.fullmatch(r"\d{8}", day) or not 1 <= size <= 50:
        raise Refusal("isv.INVALID_PARAMETERS")
    found = [one for one in state.sent if one.receiver == number and one.day == day]
    code = state.control.not_delivered
    result = {"PhoneNum": params["PhoneNumber"], "SendStatus": 2 if code else 3, "ErrCode": code or "DELIVERED"}
    details = [{**result, "OutId": one.echo} for one in found]
    document = {"Code": "OK", "Message": "OK", "TotalCount": len(found)}
    return json_answer({**document, "SmsSendDetailDTOs": {"SmsSendDetailDTO": details}})


def _needed(params: Mapping[str, str], name: str) -> str:
    if name not in params:
        raise Refusal(f"Missing{name}", f"{name} is mandatory for this action.")
    return params[name]


def _list(params: Mapping[str, str], name: str) -> list[Any]:
    try:
        found = json.loads(_needed(params, name))
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise Refusal("isv.INVALID_PARAMETERS")
    return found


def _quoted(text: str) -> str:
    return quote(text, safe="~")


def _e164(number: str) -> str:
    if found := _MAINLAND.fullmatch(number):
        return f"+86{found[1]}"
    if found := _ABROAD.fullmatch(number):
        return f"+{found[1]}"
    raise Refusal("isv.MOBILE_NUMBER_ILLEGAL")
