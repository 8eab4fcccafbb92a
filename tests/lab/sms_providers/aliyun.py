"""Aliyun's API as it is seen from outside: RPC (v1) and ACS3 (v3) signatures, `SendSms`, `SendBatchSms`, the query."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from tests.lab.sms_providers.control import Refusal, Sent, State

from carboy.testing.answers import Answer, Request, json_answer

__all__ = ["answer", "receipt", "refuse"]

_REFUSALS = {
    "throttle": (200, "isv.DAY_LIMIT_CONTROL"),
    "temporary": (200, "isp.SYSTEM_ERROR"),
    "account": (403, "InvalidAccessKeyId.NotFound"),
    "blocked": (200, "isv.MOBILE_NUMBER_ILLEGAL"),
    "signature": (400, "SignatureDoesNotMatch"),
    "nonce": (400, "SignatureNonceUsed"),
    "time": (400, "InvalidTimeStamp.Expired"),
    "params": (200, "isv.INVALID_PARAMETERS"),
}
_SKEW_S = 15 * 60


def answer(request: Request, state: State, now_s: float) -> Answer:
    """Return the answer to a request that may be sent."""
    pairs = parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
    if "urlencoded" in request.headers.get("content-type", ""):
        pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
    params = dict(pairs)
    if "authorization" in request.headers:
        action, nonce = _check_v3(request, state, now_s)
    else:
        action, nonce = _check_v1(request.method, params, state, now_s)
    if nonce in state.nonces:
        raise Refusal("nonce")
    state.nonces.add(nonce)
    if action == "QuerySendDetails":
        return _details(params, state)
    numbers, texts = _wanted(action, params)
    if set(state.control.bad_numbers) & {_e164(one) for one in numbers}:
        raise Refusal("blocked")
    biz_id = state.next_id("9006")
    for number, text in zip(numbers, texts, strict=True):
        state.sent.append(Sent(_e164(number), text, biz_id, params.get("OutId", "")))
    return json_answer({"Code": "OK", "Message": "OK", "BizId": biz_id, "RequestId": nonce})


def refuse(kind: str, why: str = "") -> Answer:
    """Return a refusal in the provider's words."""
    status, code = _REFUSALS[kind]
    return json_answer({"Code": code, "Message": why or code, "RequestId": "R", "HostId": "h"}, status)


def receipt(sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
    """Return the content type and body of a report on a text."""
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


def _check_v1(method: str, params: Mapping[str, str], state: State, now_s: float) -> tuple[str, str]:
    rest = {name: value for name, value in params.items() if name != "Signature"}
    if rest.get("AccessKeyId") != state.control.key:
        raise Refusal("account")
    query = "&".join(f"{_quoted(name)}={_quoted(rest[name])}" for name in sorted(rest))
    text = f"{method}&%2F&{_quoted(query)}"
    expected = base64.b64encode(hmac.digest(f"{state.control.secret}&".encode(), text.encode(), "sha1")).decode()
    if not hmac.compare_digest(expected, params.get("Signature", "")):
        raise Refusal("signature", text)
    _check_time(rest.get("Timestamp", ""), state, now_s)
    return rest.get("Action", ""), rest.get("SignatureNonce", "")


def _check_v3(request: Request, state: State, now_s: float) -> tuple[str, str]:
    scheme, _, rest = request.headers["authorization"].partition(" ")
    parts = dict(one.strip().split("=", 1) for one in rest.split(","))
    if scheme != "ACS3-HMAC-SHA256" or parts.get("Credential") != state.control.key:
        raise Refusal("account")
    names = parts["SignedHeaders"].split(";")
    digest = hashlib.sha256(request.body).hexdigest()
    needed = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
    if names != sorted(names) or not needed <= set(names) or request.headers.get("x-acs-content-sha256") != digest:
        raise Refusal("signature", "headers that must be signed are not")
    query = "&".join(
        f"{_quoted(name)}={_quoted(value)}"
        for name, value in sorted(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
    )
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    canonical = f"{request.method}\n{request.path}\n{query}\n{lines}\n{';'.join(names)}\n{digest}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    expected = hmac.digest(state.control.secret.encode(), text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected, parts.get("Signature", "")):
        raise Refusal("signature", canonical)
    _check_time(request.headers["x-acs-date"], state, now_s)
    return request.headers["x-acs-action"], request.headers["x-acs-signature-nonce"]


def _check_time(text: str, state: State, now_s: float) -> None:
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("time") from None
    if abs(at.timestamp() - now_s) > (state.control.skew_s or _SKEW_S):
        raise Refusal("time")


def _wanted(action: str, params: Mapping[str, str]) -> tuple[list[str], list[str]]:
    try:
        if action == "SendSms":
            numbers = params["PhoneNumbers"].split(",")
            texts = [params.get("TemplateParam", "{}")] * len(numbers)
            signs = [params["SignName"]]
        elif action == "SendBatchSms":
            numbers = json.loads(params["PhoneNumberJson"])
            texts = [json.dumps(one) for one in json.loads(params["TemplateParamJson"])]
            signs = json.loads(params["SignNameJson"])
            if not 1 <= len(numbers) <= 100 or not len(numbers) == len(texts) == len(signs):
                raise Refusal("params")
        else:
            raise Refusal("params")
        values: list[Any] = [value for text in texts for value in json.loads(text).values()]
    except (KeyError, ValueError, AttributeError):
        raise Refusal("params") from None
    if not all(isinstance(value, str) for value in values) or not all(signs) or not params.get("TemplateCode"):
        raise Refusal("params")
    return numbers, texts


def _details(params: Mapping[str, str], state: State) -> Answer:
    found = [one for one in state.sent if one.receiver == _e164(params["PhoneNumber"])]
    details = [
        {"PhoneNum": params["PhoneNumber"], "SendStatus": 3, "ErrCode": "DELIVERED", "OutId": one.echo} for one in found
    ]
    document = {"Code": "OK", "Message": "OK", "TotalCount": len(found)}
    return json_answer({**document, "SmsSendDetailDTOs": {"SmsSendDetailDTO": details}})


def _quoted(text: str) -> str:
    return quote(text, safe="~")


def _e164(number: str) -> str:
    bare = number.removeprefix("+").removeprefix("00")
    return f"+86{bare}" if len(bare) == 11 and bare.startswith("1") else f"+{bare}"
