"""SMS gateway: one API for several providers; no message is sent twice, none is lost."""

from carboy.extras import extra

with extra("sms"):
    from carboy.services.sms.gateway import Gateway
    from carboy.services.sms.inbound import InboundMessage, on_inbound
    from carboy.services.sms.pages import pages
    from carboy.services.sms.providers import Message, Outcome, Provider, Receipt, Request, Response
    from carboy.services.sms.service import register, sms_of
    from carboy.services.sms.settings import SmsSettings as settings

__all__ = [
    "Gateway",
    "InboundMessage",
    "Message",
    "Outcome",
    "Provider",
    "Receipt",
    "Request",
    "Response",
    "on_inbound",
    "pages",
    "register",
    "settings",
    "sms_of",
    "table_group",
]

table_group = "sms"
