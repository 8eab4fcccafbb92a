"""Huawei Cloud Message & SMS: `batchSendSms/v1` with WSSE.

Sources: support.huaweicloud.com, "API Reference, Message & SMS": "Sending SMSs", "Receiving status reports",
"Authentication", "Error codes".
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

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
    read_fields,
    read_without_words,
)
from carboy.services.sms.states import State

PATH = "/sms/batchSendSms/v1"

_SEE_EACH_STATUS = frozenset({"000000", "E000510", "E200037"})

STATES: dict[str, State | None] = {
    "DELIVRD": "delivered",
    "EXPIRED": "undelivered",
    "DELETED": "undelivered",
    "UNDELIV": "undelivered",
    "REJECTD": "undelivered",
    "ACCEPTD": "sent",
    "UNKNOWN": None,
}


@dataclass(frozen=True, slots=True)
class Account:
    """An application of Huawei Cloud.

    Attributes:
        url: the application's address, as its console shows it.
        app_key: of the application.
        app_secret: of the application.
        sender_id: the channel number that messages come from.
        signature: its name, which universal templates need.
        digest: the encoding of the password's hash: `hex`, as in the official samples, or `raw`.
        ca: a PEM file with the certificates that sign the endpoint's; None for the system's.
    """

    url: str = ""
    app_key: str = ""
    app_secret: Secret = Secret("")
    sender_id: str = ""
    signature: str = ""
    digest: Literal["hex", "raw"] = "hex"
    ca: Path | None = None


class Huawei:
    """`batchSendSms/v1`: parameters by position, an outcome for each receiver."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "template_id"
    max_receivers: ClassVar[int] = 500
    sign_field: ClassVar[str] = "signature"

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the request; the message's id is its `extend`, which the receipt repeats."""
        created = f"{from_unix_ms(message.now_ms):%Y-%m-%dT%H:%M:%SZ}"
        digest = password_digest(message.nonce, created, account.app_secret.reveal(), raw=account.digest == "raw")
        form = [
            ("from", message.sender or account.sender_id),
            ("to", ",".join(message.receivers)),
            ("templateId", message.template_id),
            ("templateParas", compact_json([value for _, value in message.params])),
            ("extend", message.id),
        ]
        if message.callback:
            form.append(("statusCallback", message.callback))
        if signature := message.signature or account.signature:
            form.append(("signature", signature))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": 'WSSE realm="SDP",profile="UsernameToken",type="Appkey"',
            "X-WSSE": f'UsernameToken Username="{account.app_key}",PasswordDigest="{digest}",'
            f'Nonce="{message.nonce}",Created="{created}"',
        }
        return Request("POST", address(account.url), headers, encode_form(form).encode())

    def read_response(self, response: Response) -> Outcome | dict[str, Outcome]:
        """Return how the call ended for each receiver: `code` is the request's, `status` each number's own."""
        document = response.json()
        code = document.get("code") if isinstance(document, dict) else None
        if not isinstance(code, str):
            return read_without_words(response)
        words, results = str(document.get("description", "")), document.get("result")
        if code not in _SEE_EACH_STATUS:
            return outcome_of("huawei", code, words, status=response.status)
        if not isinstance(results, list):
            return Outcome("unknown", code, words)
        return {
            _e164(str(one.get("originTo", ""))): outcome_of(
                "huawei", str(one.get("status", "")), words, str(one.get("smsMsgId", "")), status=response.status
            )
            for one in results
            if isinstance(one, dict)
        }

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipt of a call of `statusCallback`."""
        fields = read_fields(body)
        if "smsMsgId" not in fields or "status" not in fields:
            raise ValueError("not a status report")
        status = fields["status"]
        return [
            Receipt(
                fields["smsMsgId"],
                STATES.get(status, "undelivered"),
                receiver=_e164(fields["to"]) if fields.get("to") else "",
                code=status,
                words=fields.get("orgCode", ""),
                is_temporary=is_temporary("huawei", status),
            )
        ]

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the message of an uplink call."""
        fields = read_fields(body)
        if not fields.get("from") or "body" not in fields or "smsMsgId" not in fields:
            raise ValueError("not an uplink message")
        return [Inbound(fields["smsMsgId"], _e164(fields["from"]), fields.get("to", ""), fields["body"])]

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", "{}")
    inbound_answer: ClassVar[tuple[int, str, str]] = receipt_answer


def password_digest(nonce: str, created: str, secret: str, *, raw: bool = False) -> str:
    """Return the WSSE password digest: base64 of the hash's hexadecimal text, or of its raw bytes."""
    hashed = hashlib.sha256(f"{nonce}{created}{secret}".encode())
    return base64.b64encode(hashed.digest() if raw else hashed.hexdigest().encode()).decode()


def address(url: str) -> str:
    """Return the URL of `batchSendSms`, of an application's address or of the complete URL."""
    bare = url.rstrip("/")
    return bare if bare.endswith(PATH) else f"{bare}{PATH}"


def _e164(number: str) -> str:
    if number.startswith("+"):
        return number
    return f"+86{number}" if len(number) == 11 and number.startswith("1") else f"+{number}"
