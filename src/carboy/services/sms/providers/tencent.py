"""Tencent Cloud SMS: `SendSms` of 2021-01-11, signed by TC3-HMAC-SHA256.

Sources: cloud.tencent.com/document, "Send SMS", "Signature v3", "SMS status callback", "SmsPackagesStatistics", "Error
codes".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from carboy.clock import from_unix_ms
from carboy.redact import Secret
from carboy.services.sms.providers.code_table import is_temporary, outcome_of
from carboy.services.sms.providers.signing import sign_post
from carboy.services.sms.providers.wire import (
    Balance,
    Inbound,
    Message,
    Outcome,
    Receipt,
    Request,
    Response,
    compact_json,
    read_amount,
    read_each,
    read_without_words,
)
from carboy.services.sms.states import State

_PACKAGES_MS = 2 * 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Account:
    """An account of Tencent Cloud.

    Attributes:
        url: the endpoint.
        secret_id: the key's id.
        secret_key: the key.
        sdk_app_id: the SMS application.
        sign_name: the sender's sign.
        region: the region.
    """

    url: str = "https://sms.tencentcloudapi.com"
    secret_id: str = ""
    secret_key: Secret = Secret("")
    sdk_app_id: str = ""
    sign_name: str = ""
    region: str = "ap-guangzhou"


class Tencent:
    """`SendSms`: parameters by position, an outcome for each receiver.

    All receivers of a request are of mainland China, or none is; the gateway's jobs are made so.
    """

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "template_id"
    max_receivers: ClassVar[int] = 200
    sign_field: ClassVar[str] = "sign_name"

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the signed request; the message's id is its `SessionContext`, and a sender is for messages abroad."""
        is_abroad = not message.receivers[0].startswith("+86")
        body = compact_json(
            {
                "PhoneNumberSet": list(message.receivers),
                "SmsSdkAppId": account.sdk_app_id,
                "TemplateId": message.template_id,
                "SignName": message.signature or account.sign_name,
                "TemplateParamSet": [value for _, value in message.params],
                "SessionContext": message.id,
                **({"SenderId": message.sender} if is_abroad and message.sender else {}),
            }
        ).encode()
        return _signed("SendSms", body, message.now_ms, account)

    def read_response(self, response: Response) -> Outcome | dict[str, Outcome]:
        """Return how the call ended for each receiver; the HTTP status of a refusal is 200 as well."""
        document = response.json()
        inner = document.get("Response") if isinstance(document, dict) else None
        if not isinstance(inner, dict):
            return read_without_words(response)
        error = inner.get("Error")
        if isinstance(error, dict):
            code, words = str(error.get("Code", "")), str(error.get("Message", ""))
            return outcome_of("tencent", code, words, status=response.status)
        return {
            str(one.get("PhoneNumber", "")): outcome_of(
                "tencent",
                str(one.get("Code", "")),
                str(one.get("Message", "")),
                str(one.get("SerialNo", "")),
                status=response.status,
            )
            for one in inner.get("SendStatusSet") or ()
            if isinstance(one, dict)
        }

    def build_balance_request(self, account: Account, now_ms: int, nonce: str) -> Request:
        """Return the request for the prepaid packages of the last two years; its times are past in any zone."""
        begin, end = (f"{from_unix_ms(at_ms):%Y%m%d%H}" for at_ms in (now_ms - _PACKAGES_MS, now_ms))
        wanted = {"SmsSdkAppId": account.sdk_app_id, "Limit": 500, "Offset": 0, "BeginTime": begin, "EndTime": end}
        return _signed("SmsPackagesStatistics", compact_json(wanted).encode(), now_ms, account)

    def read_balance(self, response: Response, now_ms: int) -> Balance | None:
        """Return how many messages are left in the packages that have not expired."""
        document = response.json()
        inner = document.get("Response") if isinstance(document, dict) else None
        packages = inner.get("SmsPackagesStatisticsSet") if isinstance(inner, dict) else None
        if not isinstance(packages, list):
            return None
        good = [
            one for one in packages if isinstance(one, dict) and int(one.get("PackageExpiredTime", 0)) > now_ms // 1000
        ]
        left = sum(int(one.get("PackageAmount", 0)) - int(one.get("CurrentUsage", 0)) for one in good)
        return read_amount(left, "messages", now_ms)

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipts of a status callback."""
        return read_each(Response(200, headers, body).json(), _read_report)

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the message of a reply callback; it has no id, so number, time and text are its own."""
        one = Response(200, headers, body).json()
        if not isinstance(one, dict) or not isinstance(one.get("text"), str) or not one.get("mobile"):
            raise ValueError("not a reply")
        sender = f"+{str(one.get('nationcode') or '86').lstrip('+')}{one['mobile']}"
        digest = hashlib.sha256(one["text"].encode()).hexdigest()[:16]
        return [Inbound(f"{sender}:{one.get('time', '')}:{digest}", sender, str(one.get("extend") or ""), one["text"])]

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", '{"result":0,"errmsg":"OK"}')
    inbound_answer: ClassVar[tuple[int, str, str]] = receipt_answer


def _read_report(one: Mapping[str, Any]) -> Receipt:
    code = str(one.get("errmsg", ""))
    state: State = "delivered" if one.get("report_status") == "SUCCESS" else "undelivered"
    words, is_passing = str(one.get("description", "")), is_temporary("tencent", code)
    return Receipt(str(one["sid"]), state, code=code, words=words, is_temporary=is_passing)


def _signed(action: str, body: bytes, now_ms: int, account: Account) -> Request:
    at_s = now_ms // 1000
    headers = {
        "content-type": "application/json; charset=utf-8",
        "host": urlsplit(account.url).netloc,
        "x-tc-action": action,
    }
    more = {
        "Authorization": sign_tc3("sms", headers, body, at_s, (account.secret_id, account.secret_key.reveal())),
        "X-TC-Version": "2021-01-11",
        "X-TC-Region": account.region,
        "X-TC-Timestamp": str(at_s),
    }
    return Request("POST", f"{account.url.rstrip('/')}/", {**headers, **more}, body)


def sign_tc3(service: str, headers: Mapping[str, str], body: bytes, at_s: int, key: tuple[str, str]) -> str:
    """Return the header `Authorization` of a POST (TC3-HMAC-SHA256) at a time in seconds since the epoch."""
    scope = f"{from_unix_ms(at_s * 1000):%Y-%m-%d}/{service}/tc3_request"
    return sign_post("TC3", str(at_s), scope, "/", {name: text.lower() for name, text in headers.items()}, body, key)
