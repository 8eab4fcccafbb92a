"""Stand-ins for the clouds that carry texts: each checks what it is sent by its provider's rules."""

from tests.lab.sms_providers.control import Control, Sent
from tests.lab.sms_providers.server import SmsProvider, SmsProviderProcess, sms_provider_process

__all__ = ["Control", "Sent", "SmsProvider", "SmsProviderProcess", "sms_provider_process"]
