"""Who carries texts: one file for each, with its wire format, its codes and its account."""

from carboy.services.sms.providers.aliyun import Aliyun
from carboy.services.sms.providers.aws import EndUserMessaging, Sns
from carboy.services.sms.providers.huawei import Huawei
from carboy.services.sms.providers.outbox import Outbox
from carboy.services.sms.providers.tencent import Tencent
from carboy.services.sms.providers.twilio import Twilio
from carboy.services.sms.providers.wire import Message, Outcome, Provider, Receipt, Request, Response

__all__ = ["BUILT_IN", "Message", "Outbox", "Outcome", "Provider", "Receipt", "Request", "Response"]

BUILT_IN: dict[str, type] = {
    "aliyun": Aliyun,
    "aws": EndUserMessaging,
    "huawei": Huawei,
    "outbox": Outbox,
    "sns": Sns,
    "tencent": Tencent,
    "twilio": Twilio,
}
"""The providers that need no class of one's own, by the name that settings use."""
