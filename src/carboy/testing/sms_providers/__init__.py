"""Stand-ins for the clouds that carry texts: each checks what it is sent by its provider's rules."""

from carboy.testing.sms_providers.control import Control, Sent
from carboy.testing.sms_providers.server import SmsProvider, SmsProviderProcess, sms_provider_process

__all__ = ["Control", "Sent", "SmsProvider", "SmsProviderProcess", "sms_provider_process"]
