"""Aliyun (Alibaba Cloud) SMS: dysmsapi 2017-05-25.

Sources: help.aliyun.com, "SendSms", "SendBatchSms", "QuerySendDetails", "SmsReport"; "V3 request body & signature";
"RPC request structure & signature".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from carboy.clock import from_unix_ms
from carboy.redact import Secret
from carboy.services.sms.providers.wire import (
    Kind,
    Message,
    Outcome,
    Receipt,
    Request,
    Response,
    compact_json,
    encode_form,
    read_without_words,
)
from carboy.services.sms.states import State

__all__ = ["Account", "Aliyun", "sign_v1", "sign_v3"]

CODES: dict[str, Kind] = {
    "OK": "accepted",
    **dict.fromkeys(
        (
            "isv.MOBILE_NUMBER_ILLEGAL",
            "isv.BLACK_KEY_CONTROL_LIMIT",
            "isv.DOMESTIC_NUMBER_NOT_SUPPORTED",
            "isv.SMS_TEMPLATE_ILLEGAL",
            "isv.SMS_SIGNATURE_ILLEGAL",
            "isv.SMS_SIGN_ILLEGAL",
            "isv.SIGN_STATE_ILLEGAL",
            "isv.SMS_SIGNATURE_SCENE_ILLEGAL",
            "isv.TEMPLATE_MISSING_PARAMETERS",
            "isv.TEMPLATE_PARAMS_ILLEGAL",
            "isv.SMS_CONTENT_ILLEGAL",
            "isv.INVALID_PARAMETERS",
            "isv.INVALID_JSON_PARAM",
            "isv.PARAM_LENGTH_LIMIT",
            "isv.PARAM_NOT_SUPPORT_URL",
            "isv.MOBILE_COUNT_OVER_LIMIT",
            "isv.EXTEND_CODE_ERROR",
        ),
        "refused",
    ),
    **dict.fromkeys(
        (
            "isv.AMOUNT_NOT_ENOUGH",
            "isv.OUT_OF_SERVICE",
            "isv.PRODUCT_UN_SUBSCRIPT",
            "isv.ACCOUNT_NOT_EXISTS",
            "isv.ACCOUNT_ABNORMAL",
            "isv.DENY_IP_RANGE",
            "isp.RAM_PERMISSION_DENY",
            "InvalidAccessKeyId.NotFound",
            "InvalidAccessKeyId.Inactive",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "InvalidTimeStamp.Expired",
            "Forbidden.RAM",
            "NoPermission",
        ),
        "account",
    ),
    "isv.BUSINESS_LIMIT_CONTROL": "braked",
    **dict.fromkeys(
        (
            "isv.DAY_LIMIT_CONTROL",
            "isv.MONTH_LIMIT_CONTROL",
            "Throttling",
            "Throttling.User",
            "Throttling.Api",
        ),
        "throttled",
    ),
    **dict.fromkeys(("isp.SYSTEM_ERROR", "SignatureNonceUsed", "ServiceUnavailable"), "not_sent"),
}

_QUERIED: dict[str, State] = {"1": "sent", "2": "undelivered", "3": "delivered"}
_ABROAD: dict[str, State] = {"1": "delivered", "2": "undelivered"}


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an account.

    Attributes:
        url: the endpoint.
        app_key: the AccessKey id.
        app_secret: the AccessKey secret.
        sign_name: who the texts are from.
        region_id: as the API wants it said.
        version: of the API.
        signature: `v3` (ACS3-HMAC-SHA256) or `v1` (RPC, HMAC-SHA1).
        security_token: of temporary credentials; empty without.
    """

    url: str = "https://dysmsapi.aliyuncs.com"
    app_key: str = ""
    app_secret: Secret = Secret("")
    sign_name: str = ""
    region_id: str = "cn-hangzhou"
    version: str = "2017-05-25"
    signature: Literal["v1", "v3"] = "v3"
    security_token: Secret = Secret("")


class Aliyun:
    """`SendSms` for one receiver, `SendBatchSms` for several."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "template_id"
    max_receivers: ClassVar[int] = 100
    all_or_nothing: ClassVar[bool] = True

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the signed request; the message's id goes along as `OutId` and comes back in the receipt."""
        sign_name = message.signature or account.sign_name
        params = compact_json(dict(message.params))
        numbers = [_number(one) for one in message.receivers]
        if len(numbers) == 1:
            action = "SendSms"
            query = {
                "PhoneNumbers": numbers[0],
                "SignName": sign_name,
                "TemplateCode": message.template_id,
                "TemplateParam": params,
                "OutId": message.id,
            }
        else:
            action = "SendBatchSms"
            query = {
                "PhoneNumberJson": compact_json(numbers),
                "SignNameJson": compact_json([sign_name] * len(numbers)),
                "TemplateCode": message.template_id,
                "TemplateParamJson": compact_json([dict(message.params)] * len(numbers)),
                "OutId": message.id,
            }
        return _signed(action, query, message, account)

    def read_response(self, response: Response) -> Outcome:
        """Return how it ended: `Code` tells, whatever the HTTP status."""
        document = response.json()
        code = document.get("Code") if isinstance(document, dict) else None
        if not isinstance(code, str):
            return read_without_words(response)
        kind = CODES.get(code) or ("throttled" if code.startswith("Throttling") else _unlisted(code))
        return Outcome(kind, code, str(document.get("Message", "")), str(document.get("BizId", "")))

    def build_query(self, message: Message, sent_at_ms: int, account: Account) -> Request:
        """Return the request that asks what became of a message: `QuerySendDetails` of its receiver's day."""
        day = from_unix_ms(sent_at_ms + 8 * 3_600_000)  # as China's calendar has it
        query = {
            "PhoneNumber": _number(message.receivers[0]),
            "SendDate": f"{day:%Y%m%d}",
            "PageSize": "50",
            "CurrentPage": "1",
        }
        return _signed("QuerySendDetails", query, message, account)

    def read_query(self, response: Response) -> list[Receipt]:
        """Return what the provider has of that receiver's day, by our own ids."""
        document = response.json()
        details = document.get("SmsSendDetailDTOs") if isinstance(document, dict) else None
        found = details.get("SmsSendDetailDTO", []) if isinstance(details, dict) else []
        return [
            Receipt("", _QUERIED.get(str(one.get("SendStatus"))), str(one["OutId"]), code=str(one.get("ErrCode") or ""))
            for one in found
            if isinstance(one, dict) and one.get("OutId")
        ]

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipts of a call of `SmsReport`; China's and the international form."""
        documents = Response(200, headers, body).json()
        if not isinstance(documents, list):
            raise ValueError("it is no list of reports")
        return [_read_report(one) for one in documents]

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", '{"code":0,"msg":"接收成功"}')


def sign_v1(method: str, query: Mapping[str, str], secret: str) -> str:
    """Return the RPC signature of all parameters but the signature itself."""
    text = f"{method}&%2F&{quote(encode_form(sorted(query.items())), safe='')}"
    return base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()).decode()


def sign_v3(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, key: tuple[str, str]
) -> dict[str, str]:
    """Return the headers with `Authorization`.

    Args:
        method: of the request.
        path: of the URL.
        query: sorted and encoded.
        headers: in lower case; those that are signed, without `x-acs-content-sha256`.
        body: of the request.
        key: its id and the secret.
    """
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "x-acs-content-sha256": digest}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key[1].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    value = f"ACS3-HMAC-SHA256 Credential={key[0]},SignedHeaders={names},Signature={signature}"
    return {**signed, "Authorization": value}


def _signed(action: str, query: Mapping[str, str], message: Message, account: Account) -> Request:
    at = from_unix_ms(message.now_ms)
    time = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    secret, token = account.app_secret.reveal(), account.security_token.reveal()
    parts = urlsplit(account.url)
    if account.signature == "v1":
        every = {
            **query,
            "AccessKeyId": account.app_key,
            "Action": action,
            "Format": "JSON",
            "RegionId": account.region_id,
            "SignatureMethod": "HMAC-SHA1",
            "SignatureNonce": message.nonce,
            "SignatureVersion": "1.0",
            "Timestamp": time,
            "Version": account.version,
            **({"SecurityToken": token} if token else {}),
        }
        form = encode_form([*every.items(), ("Signature", sign_v1("POST", every, secret))])
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request("POST", f"{account.url.rstrip('/')}/", headers, form.encode())
    headers = {
        "host": parts.netloc,
        "x-acs-action": action,
        "x-acs-version": account.version,
        "x-acs-date": time,
        "x-acs-signature-nonce": message.nonce,
        **({"x-acs-security-token": token} if token else {}),
    }
    text = encode_form(sorted(query.items()))
    headers = sign_v3("POST", "/", text, headers, b"", (account.app_key, secret))
    return Request("POST", f"{account.url.rstrip('/')}/?{text}", {"accept": "application/json", **headers})


def _number(e164: str) -> str:
    """Return a number as the API wants it: China's bare, others with the country's code and no plus."""
    return e164.removeprefix("+86") if e164.startswith("+86") else e164.removeprefix("+")


def _unlisted(code: str) -> Kind:
    if code.startswith(("InvalidAccessKeyId", "Forbidden", "isp.RAM")):
        return "account"
    return "refused" if code.startswith("isv.") else "not_sent"


def _read_report(one: Any) -> Receipt:
    if not isinstance(one, dict):
        raise ValueError("a report is no object")
    if "MessageId" in one:  # the international form
        code, words = str(one.get("ErrorCode", "")), str(one.get("ErrorDescription", ""))
        receiver = f"+{str(one.get('To', '')).lstrip('+')}"
        return Receipt(str(one["MessageId"]), _ABROAD.get(str(one.get("Status"))), "", receiver, code, words)
    if "biz_id" not in one:
        raise ValueError("a report has no biz_id")
    is_good = one.get("success") in {True, "true"}
    number = str(one.get("phone_number", "")).lstrip("+")
    e164 = f"+86{number}" if len(number) == 11 and number.startswith("1") else f"+{number}"
    code, words = str(one.get("err_code", "")), str(one.get("err_msg", ""))
    state: State = "delivered" if is_good else "undelivered"
    return Receipt(str(one["biz_id"]), state, str(one.get("out_id") or ""), e164, code, words)
