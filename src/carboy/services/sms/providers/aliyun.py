"""Aliyun (Alibaba Cloud) SMS: dysmsapi 2017-05-25.

Sources: help.aliyun.com, "SendSms", "QuerySendDetails", "SmsReport"; "V3 request body & signature"; "RPC request
structure & signature".
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
from carboy.services.sms.providers.code_table import is_temporary, outcome_of
from carboy.services.sms.providers.wire import (
    Inbound,
    Message,
    Outcome,
    Receipt,
    Request,
    Response,
    compact_json,
    encode_form,
    read_each,
    read_without_words,
)
from carboy.services.sms.states import State

_QUERIED: dict[str, State] = {"1": "sent", "2": "undelivered", "3": "delivered"}
_ABROAD: dict[str, State] = {"1": "delivered", "2": "undelivered"}


@dataclass(frozen=True, slots=True)
class Account:
    """An account of Aliyun.

    Attributes:
        url: the endpoint.
        app_key: the AccessKey id.
        app_secret: the AccessKey secret.
        sign_name: the sender's sign.
        region_id: the region, which signature v1 needs.
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
    """`SendSms`, for one receiver or many; the parameters travel in the body, so that no access log has them."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "template_id"
    max_receivers: ClassVar[int] = 1000
    all_or_nothing: ClassVar[bool] = True
    sign_field: ClassVar[str] = "sign_name"

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the signed request; the message's id is its `OutId`, which the receipt repeats."""
        form = {
            "PhoneNumbers": ",".join(map(_number, message.receivers)),
            "SignName": message.signature or account.sign_name,
            "TemplateCode": message.template_id,
            "TemplateParam": compact_json(dict(message.params)),
            "OutId": message.id,
        }
        return _signed("SendSms", form, message, account)

    def read_response(self, response: Response) -> Outcome:
        """Return how the call ended, by `Code`."""
        document = response.json()
        code = document.get("Code") if isinstance(document, dict) else None
        if not isinstance(code, str):
            return read_without_words(response)
        words, biz_id = str(document.get("Message", "")), str(document.get("BizId", ""))
        return outcome_of("aliyun", code, words, biz_id, status=response.status)

    def build_query(self, message: Message, sent_at_ms: int, account: Account) -> Request:
        """Return `QuerySendDetails` of the receiver and the day, in China, on which the message was sent."""
        day = from_unix_ms(sent_at_ms + 8 * 3_600_000)
        form = {
            "PhoneNumber": _number(message.receivers[0]),
            "SendDate": f"{day:%Y%m%d}",
            "PageSize": "50",
            "CurrentPage": "1",
        }
        return _signed("QuerySendDetails", form, message, account)

    def read_query(self, response: Response) -> list[Receipt]:
        """Return the messages that the provider lists, by our own ids."""
        document = response.json()
        details = document.get("SmsSendDetailDTOs") if isinstance(document, dict) else None
        found = details.get("SmsSendDetailDTO", []) if isinstance(details, dict) else []
        return [_read_detail(one) for one in found if isinstance(one, dict) and one.get("OutId")]

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipts of a call of `SmsReport`, in its Chinese or international form."""
        return read_each(Response(200, headers, body).json(), _read_report)

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the messages of a call of `SmsUp`."""
        return read_each(Response(200, headers, body).json(), _read_inbound)

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", '{"code":0,"msg":"接收成功"}')
    inbound_answer: ClassVar[tuple[int, str, str]] = receipt_answer


def sign_v1(method: str, query: Mapping[str, str], secret: str) -> str:
    """Return the RPC signature (HMAC-SHA1) of all parameters but the signature itself."""
    text = f"{method}&%2F&{quote(encode_form(sorted(query.items())), safe='')}"
    return base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()).decode()


def sign_v3(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, key: tuple[str, str]
) -> dict[str, str]:
    """Return the headers with `Authorization` (ACS3-HMAC-SHA256).

    Args:
        method: of the request.
        path: of the URL.
        query: sorted and encoded.
        headers: in lower case; those to sign, without `x-acs-content-sha256`.
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


def _signed(action: str, form: Mapping[str, str], message: Message, account: Account) -> Request:
    time = f"{from_unix_ms(message.now_ms):%Y-%m-%dT%H:%M:%SZ}"
    secret, token = account.app_secret.reveal(), account.security_token.reveal()
    url, content_type = f"{account.url.rstrip('/')}/", "application/x-www-form-urlencoded"
    if account.signature == "v1":
        every = {
            **form,
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
        signed = encode_form([*every.items(), ("Signature", sign_v1("POST", every, secret))])
        return Request("POST", url, {"Content-Type": content_type}, signed.encode())
    headers = {
        "content-type": content_type,
        "host": urlsplit(account.url).netloc,
        "x-acs-action": action,
        "x-acs-version": account.version,
        "x-acs-date": time,
        "x-acs-signature-nonce": message.nonce,
        **({"x-acs-security-token": token} if token else {}),
    }
    body = encode_form(list(form.items())).encode()
    headers = sign_v3("POST", "/", "", headers, body, (account.app_key, secret))
    return Request("POST", url, {"accept": "application/json", **headers}, body)


def _number(e164: str) -> str:
    """Return a number in the API's form: those of China without country code, others without the plus."""
    return e164.removeprefix("+86") if e164.startswith("+86") else e164.removeprefix("+")


def _read_detail(one: Mapping[str, Any]) -> Receipt:
    state, code = _QUERIED.get(str(one.get("SendStatus"))), str(one.get("ErrCode") or "")
    is_passing = state == "undelivered" and is_temporary("aliyun", code)
    return Receipt("", state, str(one["OutId"]), code=code, is_temporary=is_passing)


def _read_report(one: Mapping[str, Any]) -> Receipt:
    if "MessageId" in one:  # the international form
        code, words = str(one.get("ErrorCode", "")), str(one.get("ErrorDescription", ""))
        receiver, state = _e164(str(one.get("To", "")), ""), _ABROAD.get(str(one.get("Status")))
        is_passing = state == "undelivered" and is_temporary("aliyun", code)
        return Receipt(str(one["MessageId"]), state, "", receiver, code, words, is_passing)
    is_good = one.get("success") in {True, "true"}
    e164 = _e164(str(one.get("phone_number", "")), "86")
    code, words = str(one.get("err_code", "")), str(one.get("err_msg", ""))
    reported: State = "delivered" if is_good else "undelivered"
    echoed, is_passing = str(one.get("out_id") or ""), not is_good and is_temporary("aliyun", code)
    return Receipt(str(one["biz_id"]), reported, echoed, e164, code, words, is_passing)


def _read_inbound(one: Mapping[str, Any]) -> Inbound:
    """Return a message of `SmsUp`; without a sequence number its sender, time and text are its id."""
    number, text = str(one["phone_number"]), str(one["content"])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    own_id = one.get("sequence_id") or f"{one.get('send_time')}:{digest}"
    return Inbound(f"{own_id}:{number}", _e164(number, "86"), str(one.get("dest_code") or ""), text)


def _e164(number: str, mainland: str) -> str:
    """Return a number of a report in E.164; `mainland` is the country code of eleven digits that begin with 1."""
    bare = number.lstrip("+").removeprefix("00")
    return f"+{mainland}{bare}" if len(bare) == 11 and bare.startswith("1") else f"+{bare}"
