"""Twilio: `Messages.json` of 2010-04-01.

Sources: twilio.com/docs, "Message resource", "Track outbound message status", "Error and warning dictionary".
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from carboy.redact import Secret
from carboy.services.sms.providers.wire import (
    Kind,
    Message,
    Outcome,
    Receipt,
    Request,
    Response,
    encode_form,
    read_fields,
    read_without_words,
)
from carboy.services.sms.states import State

__all__ = ["Account", "Twilio"]

CODES: dict[int, Kind] = {
    **dict.fromkeys((20003, 20005, 20006, 20008, 20403, 21606, 21603, 21212, 21659, 21660, 21703, 30002), "account"),
    **dict.fromkeys((20429, 14107, 30001, 30022, 21611), "throttled"),
    **dict.fromkeys(
        (21211, 21214, 21217, 21408, 21610, 21612, 21614, 21617, 21602, 21605, 30003, 30004, 30005, 30006, 30007),
        "refused",
    ),
    30034: "account",
    **dict.fromkeys((20500, 20503), "not_sent"),
}

STATES: dict[str, State | None] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
    "canceled": "undelivered",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an account.

    Attributes:
        url: of the API.
        account_sid: whose messages they are.
        auth_token: the password, and the key of callbacks' signatures.
        from_: the number, the alphanumeric sender, or the messaging service (`MG…`) that texts come from.
    """

    url: str = "https://api.twilio.com"
    account_sid: str = ""
    auth_token: Secret = Secret("")
    from_: str = ""


class Twilio:
    """One text to one receiver; a callback for each change of its state."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1
    all_or_nothing: ClassVar[bool] = False

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the request that creates a message."""
        sender = "MessagingServiceSid" if account.from_.startswith("MG") else "From"
        form = [("To", message.receivers[0]), (sender, account.from_), ("Body", message.text)]
        if message.callback:
            form.append(("StatusCallback", message.callback))
        login = base64.b64encode(f"{account.account_sid}:{account.auth_token.reveal()}".encode()).decode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Authorization": f"Basic {login}",
        }
        url = f"{account.url.rstrip('/')}/2010-04-01/Accounts/{account.account_sid}/Messages.json"
        return Request("POST", url, headers, encode_form(form).encode())

    def read_response(self, response: Response) -> Outcome:
        """Return how it ended: a message with its `sid`, or an error with its code."""
        document = response.json()
        if not isinstance(document, dict):
            return read_without_words(response)
        if 200 <= response.status < 300 and document.get("sid"):
            error = document.get("error_code")
            if error and document.get("status") == "failed":
                return Outcome(
                    CODES.get(_number(error), "refused"), str(error), str(document.get("error_message") or "")
                )
            return Outcome("accepted", str(document.get("status", "")), "", str(document["sid"]))
        code = _number(document.get("code"))
        words = str(document.get("message", ""))
        kind = CODES.get(code)
        if kind is None:
            plain = read_without_words(response)
            is_told = response.status in {400, 404}
            kind = "refused" if is_told and code else "not_sent" if response.status >= 500 and code else plain.kind
        return Outcome(kind, str(code or f"HTTP {response.status}"), words)

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipt of a status callback."""
        fields = read_fields(body)
        sid = fields.get("MessageSid") or fields.get("SmsSid")
        status = fields.get("MessageStatus") or fields.get("SmsStatus")
        if not sid or not status:
            raise ValueError("it is no status callback")
        return [Receipt(sid, STATES.get(status), code=fields.get("ErrorCode", "") or status)]

    receipt_answer: ClassVar[tuple[int, str, str]] = (204, "text/plain", "")


def _number(value: object) -> int:
    return int(str(value)) if str(value).isdigit() else 0
