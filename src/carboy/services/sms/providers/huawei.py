"""Huawei Cloud Message & SMS: `batchSendSms/v1` with WSSE.

Sources: support.huaweicloud.com, "API Reference, Message & SMS": "Sending SMSs", "Receiving status reports",
"Authentication", "Error codes".
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

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
    read_fields,
    read_without_words,
)
from carboy.services.sms.states import State

__all__ = ["Account", "Huawei", "password_digest"]

PATH = "/sms/batchSendSms/v1"

CODES: dict[str, Kind] = {
    "000000": "accepted",
    **dict.fromkeys(("E000000", "E000623"), "not_sent"),
    **dict.fromkeys((f"E00000{n}" for n in range(1, 9)), "account"),
    **dict.fromkeys((f"E0000{n}" for n in range(20, 28)), "account"),
    **dict.fromkeys((f"E000{n}" for n in range(101, 113)), "account"),
    **dict.fromkeys(("E000620", "E200018", "E200024"), "account"),
    **dict.fromkeys(("E000503", "E200028", "E200029", "E200030", "E200031", "E200032", "E200033"), "refused"),
    **dict.fromkeys(("E200015", "E200016", "E200017", "E200027", "E200037", "E200041"), "refused"),
    **dict.fromkeys(("E200025", "E200042", "E200043"), "braked"),
    **dict.fromkeys(("E000622", "E200019"), "throttled"),
}
_SOME_FAILED = "E000510"

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
    """What is known of an account.

    Attributes:
        url: the application's address, as its console shows it.
        app_key: of the application.
        app_secret: of the application.
        sender_id: the channel number that texts come from.
        signature: its name, needed by templates that several signatures may use.
        digest: how the password's hash is written: `hex`, as the official samples do, or `raw`.
    """

    url: str = ""
    app_key: str = ""
    app_secret: Secret = Secret("")
    sender_id: str = ""
    signature: str = ""
    digest: Literal["hex", "raw"] = "hex"


class Huawei:
    """`batchSendSms/v1`: parameters by position, an answer for each receiver."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "template_id"
    max_receivers: ClassVar[int] = 500
    all_or_nothing: ClassVar[bool] = False

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the request; the message's id goes along as `extend` and comes back in the receipt."""
        created = f"{from_unix_ms(message.now_ms):%Y-%m-%dT%H:%M:%SZ}"
        digest = password_digest(message.nonce, created, account.app_secret.reveal(), raw=account.digest == "raw")
        form = [
            ("from", account.sender_id),
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
        """Return how it ended for each receiver: `code` is the request's, `status` a number's own."""
        document = response.json()
        code = document.get("code") if isinstance(document, dict) else None
        if not isinstance(code, str):
            return read_without_words(response)
        words = str(document.get("description", ""))
        results = document.get("result")
        if code not in {"000000", _SOME_FAILED} or not isinstance(results, list):
            kind = CODES.get(code, "unknown" if code in {"000000", _SOME_FAILED} else "refused")
            return Outcome("unknown" if kind == "accepted" else kind, code, words)
        outcomes = {}
        for one in results:
            if isinstance(one, dict):
                status = str(one.get("status", ""))
                kind = CODES.get(status, "refused")
                outcomes[_e164(str(one.get("originTo", "")))] = Outcome(
                    kind, status, words, str(one.get("smsMsgId", ""))
                )
        return outcomes

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipt of a call of `statusCallback`."""
        fields = read_fields(body)
        if "smsMsgId" not in fields or "status" not in fields:
            raise ValueError("it is no status report")
        status = fields["status"]
        return [
            Receipt(
                fields["smsMsgId"],
                STATES.get(status, "undelivered"),
                receiver=_e164(fields["to"]) if fields.get("to") else "",
                code=status,
                words=fields.get("orgCode", ""),
            )
        ]

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", "{}")


def password_digest(nonce: str, created: str, secret: str, *, raw: bool = False) -> str:
    """Return the WSSE password: base64 of the hash's hexadecimal text, or of its raw bytes."""
    hashed = hashlib.sha256(f"{nonce}{created}{secret}".encode())
    return base64.b64encode(hashed.digest() if raw else hashed.hexdigest().encode()).decode()


def address(url: str) -> str:
    """Return where texts are posted; the whole address is understood too, as tutorials have it."""
    bare = url.rstrip("/")
    return bare if bare.endswith(PATH) else f"{bare}{PATH}"


def _e164(number: str) -> str:
    if number.startswith("+"):
        return number
    return f"+86{number}" if len(number) == 11 and number.startswith("1") else f"+{number}"
