"""Providers: one module each, with its wire format and account; error codes are tables in `codes/`."""

from carboy.services.sms.providers.aliyun import Aliyun
from carboy.services.sms.providers.aws import EndUserMessaging, Sns
from carboy.services.sms.providers.huawei import Huawei
from carboy.services.sms.providers.outbox import Outbox
from carboy.services.sms.providers.tencent import Tencent
from carboy.services.sms.providers.twilio import Twilio
from carboy.services.sms.providers.wire import (
    AnswersQueries,
    Balance,
    Inbound,
    Message,
    Outcome,
    Provider,
    ReadsInbound,
    ReadsReceipts,
    Receipt,
    ReportsThroughSns,
    Request,
    Response,
    SignsReceipts,
    TellsBalance,
)

__all__ = [
    "BUILT_IN",
    "AnswersQueries",
    "Balance",
    "Inbound",
    "Message",
    "Outbox",
    "Outcome",
    "Provider",
    "ReadsInbound",
    "ReadsReceipts",
    "Receipt",
    "ReportsThroughSns",
    "Request",
    "Response",
    "SignsReceipts",
    "TellsBalance",
]

BUILT_IN: dict[str, type] = {
    "aliyun": Aliyun,
    "aws": EndUserMessaging,
    "huawei": Huawei,
    "outbox": Outbox,
    "sns": Sns,
    "tencent": Tencent,
    "twilio": Twilio,
}
"""The built-in providers, by their name in the settings."""
