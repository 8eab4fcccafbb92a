"""Balance polling: ask the providers what is left of our accounts."""

from collections.abc import Mapping
from dataclasses import dataclass

from carboy.jobs import Job
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.provider_traffic import ProviderTraffic
from carboy.services.sms.transport import HttpTransport

log: BoundLogger = get_logger("carboy.sms")

BALANCES_EVERY_MS = 600_000


@dataclass(frozen=True, slots=True)
class BalancePolling:
    """Keeps the balances of those providers that report them.

    Attributes:
        transports: those of providers that report a balance, by name.
        traffic: keeps what they say.
    """

    transports: Mapping[str, HttpTransport]
    traffic: ProviderTraffic

    def job(self) -> Job[[int]]:
        """Return the job `sms.balances`, with its period."""
        return Job("sms.balances", self.run, priority=9)

    def run(self, _period: int = 0) -> None:
        """Ask each provider; one that does not answer keeps its last balance, with its time."""
        for name, transport in self.transports.items():
            found = transport.ask_balance()
            if found is None:
                log.warning("sms_balance_unknown", provider=name)
            else:
                self.traffic.set_balance(name, found)
