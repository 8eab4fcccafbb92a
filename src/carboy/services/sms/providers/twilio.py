"""Twilio: `Messages.json` of 2010-04-01.

Sources: twilio.com/docs, "Message resource", "Outbound Message Status in Status Callbacks", "Error and warning
dictionary", "Account balance", "Advanced Opt-Out".
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from carboy.redact import Secret
from carboy.services.sms.keywords import Keyword
from carboy.services.sms.providers.code_table import is_temporary, outcome_of
from carboy.services.sms.providers.wire import (
    Balance,
    Inbound,
    Message,
    Outcome,
    Receipt,
    Request,
    Response,
    encode_form,
    read_amount,
    read_fields,
    read_without_words,
)
from carboy.services.sms.states import State

if TYPE_CHECKING:
    from carboy.webhooks import Scheme

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
_KEYWORDS: dict[str, Keyword] = {"STOP": "stop", "START": "start"}


@dataclass(frozen=True, slots=True)
class Account:
    """An account of Twilio.

    Attributes:
        url: of the API.
        account_sid: the account's id.
        auth_token: the password, and the key of callbacks' signatures.
        from_: the sending number, alphanumeric sender, or messaging service (`MG…`).
    """

    url: str = "https://api.twilio.com"
    account_sid: str = ""
    auth_token: Secret = Secret("")
    from_: str = ""


class Twilio:
    """`Messages.json`: one message to one receiver, and a signed callback for each change of its state."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the request that creates a message."""
        from_ = message.sender or account.from_
        sender = "MessagingServiceSid" if from_.startswith("MG") else "From"
        form = [("To", message.receivers[0]), (sender, from_), ("Body", message.text)]
        if message.callback:
            form.append(("StatusCallback", message.callback))
        headers = {"Content-Type": "application/x-www-form-urlencoded", **_headers(account)}
        return Request("POST", _url(account, "Messages"), headers, encode_form(form).encode())

    def read_response(self, response: Response) -> Outcome:
        """Return how the call ended: a message with its `sid`, or an error with its code.

        No callback reports the status with which a message is made, so that one that has failed is not waited for.
        """
        document = response.json()
        if not isinstance(document, dict):
            return read_without_words(response)
        if 200 <= response.status < 300 and document.get("sid"):
            sid, status = str(document["sid"]), str(document.get("status", ""))
            if STATES.get(status) != "undelivered":
                return Outcome("accepted", status, "", sid)
            error, words = document.get("error_code") or status, document.get("error_message") or ""
            outcome = outcome_of("twilio", str(error), str(words), sid)
            return replace(outcome, kind="unknown") if outcome.kind == "accepted" else outcome
        code = document.get("code")
        if not code:
            return read_without_words(response)
        return outcome_of("twilio", str(code), str(document.get("message", "")), status=response.status)

    def build_balance_request(self, account: Account, now_ms: int, nonce: str) -> Request:
        """Return the request for `Balance.json`; subaccounts have none."""
        return Request("GET", _url(account, "Balance"), _headers(account))

    def read_balance(self, response: Response, now_ms: int) -> Balance | None:
        """Return the account's balance in its currency."""
        document = response.json()
        if response.status != 200 or not isinstance(document, dict):
            return None
        return read_amount(document.get("balance"), document.get("currency"), now_ms)

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipt of a status callback."""
        fields = read_fields(body)
        sid = fields.get("MessageSid") or fields.get("SmsSid")
        status = fields.get("MessageStatus") or fields.get("SmsStatus")
        if not sid or not status:
            raise ValueError("not a status callback")
        code = fields.get("ErrorCode", "") or status
        return [Receipt(sid, STATES.get(status), code=code, is_temporary=is_temporary("twilio", code))]

    def receipt_scheme(self, public_url: str) -> "Scheme":
        """Return the scheme of `X-Twilio-Signature`."""
        from carboy.webhooks import Twilio as TwilioScheme

        return TwilioScheme(public_url=public_url)

    def receipt_secrets(self, account: Account) -> list[str]:
        """Return the auth token, with which callbacks are signed."""
        return [account.auth_token.reveal()]

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the message of a webhook; a sender without number, such as WhatsApp's, is refused."""
        fields = read_fields(body)
        sid, sender = fields.get("MessageSid") or fields.get("SmsSid"), fields.get("From", "")
        if not sid or not sender or "Body" not in fields:
            raise ValueError("not an incoming message")
        keyword = _KEYWORDS.get(fields.get("OptOutType", ""))
        return [Inbound(sid, sender, fields.get("To", ""), fields["Body"], keyword)]

    inbound_answer: ClassVar[tuple[int, str, str]] = (
        200,
        "text/xml",
        '<?xml version="1.0" encoding="UTF-8"?><Response></Response>',
    )
    receipt_answer: ClassVar[tuple[int, str, str]] = (204, "text/plain", "")


def _headers(account: Account) -> dict[str, str]:
    login = base64.b64encode(f"{account.account_sid}:{account.auth_token.reveal()}".encode()).decode()
    return {"Accept": "application/json", "Authorization": f"Basic {login}"}


def _url(account: Account, resource: str) -> str:
    return f"{account.url.rstrip('/')}/2010-04-01/Accounts/{account.account_sid}/{resource}.json"
