"""Amazon: End User Messaging (`SendTextMessage`), and SNS (`Publish` to a number).

Sources: docs.aws.amazon.com, "AWS End User Messaging SMS API v2", "Event types for SMS", "Amazon SNS API Reference:
Publish".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import orjson

from carboy.clock import from_unix_ms
from carboy.redact import Secret
from carboy.services.sms.providers.code_table import is_temporary, outcome_of
from carboy.services.sms.providers.signing import sign_post
from carboy.services.sms.providers.wire import (
    Inbound,
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

STATES: dict[str, State | None] = {
    "PENDING": "sent",
    "QUEUED": "sent",
    "SUCCESSFUL": "sent",
    "DELIVERED": "delivered",
    "UNKNOWN": None,
}
"""Any other final status is a failed delivery: INVALID, UNREACHABLE, BLOCKED, SPAM, TTL_EXPIRED, PROTECT_BLOCKED, …"""

_XML = re.compile(r"<(MessageId|Code|Message)>([^<]*)</\1>")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of AWS.

    Attributes:
        url: another endpoint than the region's own.
        region: where messages are sent from.
        access_key_id: empty for AWS's own chain of credentials.
        secret_access_key: the secret of that key.
        session_token: of temporary credentials.
        origination: the sending number, sender id or pool.
        sender_id: SNS only: the sender's name.
        configuration_set: End User Messaging only: where events go.
    """

    url: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    secret_access_key: Secret = Secret("")
    session_token: Secret = Secret("")
    origination: str = ""
    sender_id: str = ""
    configuration_set: str = ""


class EndUserMessaging:
    """`SendTextMessage` of pinpoint-sms-voice-v2; its events arrive through an SNS topic."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1
    reports_through_sns: ClassVar[bool] = True

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the signed request; the message's id is in its `Context`, which the events repeat."""
        wanted = {
            "DestinationPhoneNumber": message.receivers[0],
            "OriginationIdentity": message.sender or account.origination or account.sender_id,
            "MessageBody": message.text,
            "MessageType": "PROMOTIONAL" if message.kind == "marketing" else "TRANSACTIONAL",
            "ConfigurationSetName": account.configuration_set,
            "DestinationCountryParameters": _dlt(message, "IN_ENTITY_ID", "IN_TEMPLATE_ID"),
            "Context": {"message_id": message.id},
        }
        body = compact_json({name: value for name, value in wanted.items() if value}).encode()
        url = account.url or f"https://sms-voice.{account.region}.{_domain(account.region)}"
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": "PinpointSMSVoiceV2.SendTextMessage",
        }
        return _signed("sms-voice", url, headers, body, message.now_ms, account)

    def read_response(self, response: Response) -> Outcome:
        """Return how the call ended: a `MessageId`, or an exception with its `Reason`."""
        document = response.json()
        if not isinstance(document, dict):
            return read_without_words(response)
        if response.status == 200 and document.get("MessageId"):
            return Outcome("accepted", "", "", str(document["MessageId"]))
        named = str(document.get("__type") or response.headers.get("x-amzn-errortype", ""))
        code = named.rpartition("#")[2].partition(":")[0]
        if code and (reason := document.get("Reason") or document.get("reason")):
            code = f"{code}/{reason}"
        words = str(document.get("Message") or document.get("message") or "")
        return _failed(response, code, words)

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the receipt of an event, which is the content of an SNS message."""
        event = orjson.loads(body)
        if not isinstance(event, dict) or "messageId" not in event:
            raise ValueError("not an event of a message")
        status = str(event.get("messageStatus", ""))
        state = STATES.get(status, "undelivered")
        if event.get("isFinal") is False and state == "undelivered":
            state = "sent"  # it is still being tried
        context = event.get("context")
        echoed = str(context.get("message_id", "")) if isinstance(context, dict) else ""
        words = str(event.get("messageStatusDescription", ""))
        is_passing = state == "undelivered" and is_temporary("aws", status)
        return [Receipt(str(event["messageId"]), state, echoed, "", status, words, is_passing)]

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the message of a two-way SMS notification, which is the content of an SNS message."""
        one = orjson.loads(body)
        if not isinstance(one, dict) or not one.get("originationNumber") or "messageBody" not in one:
            raise ValueError("not an inbound message")
        receiver, text = str(one.get("destinationNumber") or ""), str(one["messageBody"])
        return [Inbound(str(one["inboundMessageId"]), str(one["originationNumber"]), receiver, text)]

    receipt_answer: ClassVar[tuple[int, str, str]] = (200, "application/json", "{}")
    inbound_answer: ClassVar[tuple[int, str, str]] = receipt_answer


class Sns:
    """SNS's `Publish` to a number; its delivery reports go to CloudWatch only."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1

    def build_request(self, message: Message, account: Account) -> Request:
        """Return the signed request."""
        attributes = {"AWS.SNS.SMS.SMSType": "Promotional" if message.kind == "marketing" else "Transactional"}
        number = message.sender if message.sender.startswith("+") else account.origination
        name = "" if message.sender.startswith("+") else message.sender or account.sender_id
        if name:
            attributes["AWS.SNS.SMS.SenderID"] = name
        if number:
            attributes["AWS.MM.SMS.OriginationNumber"] = number
        attributes |= _dlt(message, "AWS.MM.SMS.EntityId", "AWS.MM.SMS.TemplateId")
        form = [
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("PhoneNumber", message.receivers[0]),
            ("Message", message.text),
        ]
        for place, (name, value) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{place}"
            form += [
                (f"{entry}.Name", name),
                (f"{entry}.Value.DataType", "String"),
                (f"{entry}.Value.StringValue", value),
            ]
        url = account.url or f"https://sns.{account.region}.{_domain(account.region)}"
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return _signed("sns", url, headers, encode_form(form).encode(), message.now_ms, account)

    def read_response(self, response: Response) -> Outcome:
        """Return how the call ended: a `MessageId`, or an error's code, in XML."""
        found = dict(_XML.findall(response.body.decode("utf-8", "replace")))
        if response.status == 200 and found.get("MessageId"):
            return Outcome("accepted", "", "", found["MessageId"])
        return _failed(response, found.get("Code", ""), found.get("Message", ""))


def _signed(service: str, url: str, headers: dict[str, str], body: bytes, now_ms: int, account: Account) -> Request:
    """Return a POST that SigV4 signs with all its headers."""
    url, time = f"{url.rstrip('/')}/", f"{from_unix_ms(now_ms):%Y%m%dT%H%M%SZ}"
    parts = urlsplit(url)
    headers = {**headers, "host": parts.netloc, "x-amz-date": time}
    if token := account.session_token.reveal():
        headers["x-amz-security-token"] = token
    scope = f"{time[:8]}/{account.region}/{service}/aws4_request"
    key = (account.access_key_id, account.secret_access_key.reveal())
    headers["Authorization"] = sign_post("AWS4", time, scope, parts.path, headers, body, key)
    return Request("POST", url, headers, body)


def _failed(response: Response, code: str, words: str) -> Outcome:
    if not code:
        return read_without_words(response)
    return outcome_of("aws", code, words, status=response.status)


def _dlt(message: Message, entity: str, template: str) -> dict[str, str]:
    """Return the ids of India's DLT platform by the names of an API; none for other countries."""
    ids = {entity: message.dlt_entity_id, template: message.dlt_template_id}
    return {name: value for name, value in ids.items() if value}


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
