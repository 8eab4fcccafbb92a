"""Polling: ask a provider what became of a message whose response was lost, and what is left of our account.

A message that could not be delivered for now is sent again as after a delivery report, nothing else is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jobs import Job, Later, row_of
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.delivery_reports import Report, report
from carboy.services.sms.message_queries import Records
from carboy.services.sms.provider_traffic import ProviderTraffic
from carboy.services.sms.providers import Message, Receipt
from carboy.services.sms.send_jobs import Resend
from carboy.services.sms.states import RANKS
from carboy.services.sms.transport import HttpTransport

log: BoundLogger = get_logger("carboy.sms")

BALANCES_EVERY_MS = 600_000

_FIRST_S = 60.0
_LONGEST_S = 3600.0
_GIVE_UP_MS = 6 * 3_600_000
_MINUTE_MS = 60_000
_QUARTER_MS = 900_000  # midnight of every time zone is at a quarter of an hour


@dataclass(frozen=True, slots=True)
class LookUp:
    """Settles messages that are `unknown`, by their provider's records.

    Attributes:
        transports: those of providers that answer queries, by name.
        records: finds the messages.
        writer: settles them.
        clock: the time.
        resends: see `carboy.services.sms.delivery_reports.Report`.
    """

    transports: Mapping[str, HttpTransport]
    records: Records
    writer: GroupCommit
    clock: Clock
    resends: Mapping[str, Resend] = field(default_factory=dict)

    def job(self) -> Job[[int]]:
        """Return the job `sms.look_up`, with a message's row."""
        return Job("sms.look_up", self.run, attempts=20, priority=7)

    def row(self, provider: str | None, message: int, retries: int = 0) -> dict[str, Any] | None:
        """Return the row of the job for a message that is unknown; None if its provider answers no queries.

        Args:
            provider: that was called.
            message: its row.
            retries: how often it was sent again; each try has a job of its own.
        """
        if provider not in self.transports:
            return None
        now_ms = self.clock.now_ms()
        key = f"sms.look_up:{message}:{retries}"
        return row_of(self.job(), (message,), now_ms=now_ms, after_s=_FIRST_S, key=key)

    def run(self, message: int) -> None:
        """Ask for one message, unless it is settled by now.

        Raises:
            Later: the provider does not know yet.
        """
        row = self.records.message(message)
        if row is None or row.state != "unknown" or row.receiver is None or row.provider not in self.transports:
            return
        wanted = Message((str(row.id),), (row.receiver,), nonce=token_hex(16), now_ms=self.clock.now_ms())
        found = self._find(self.transports[row.provider], wanted, row)
        if found is not None and found.state is not None:
            receipt = Receipt("", found.state, str(row.id), "", found.code, found.words, found.is_temporary)
            self.writer.run(report, (Report(row.provider, receipt, "", self.clock.now_ms(), self.resends),))
            log.info("sms_looked_up", message=str(row.id), provider=row.provider, state=found.state)
            return
        age_ms = self.clock.now_ms() - row.created_at
        if age_ms < _GIVE_UP_MS:
            raise Later("the provider does not know yet", min(max(_FIRST_S, age_ms / 1000), _LONGEST_S))

    def _find(self, transport: HttpTransport, wanted: Message, row: Any) -> Receipt | None:
        request = self.records.request(row.request)
        messages = request[1] if request else []
        has_twin = any(one.receiver_hash == row.receiver_hash and one.id != row.id for one in messages)
        ours = {str(row.id)} if has_twin else {str(one.id) for one in messages}  # a batch echoes the id of its first
        sent_at_ms = row.settled_at or row.created_at  # when the call became unknown
        days = [sent_at_ms] if sent_at_ms % _QUARTER_MS > _MINUTE_MS else [sent_at_ms, sent_at_ms - _MINUTE_MS]
        listed = (one for at_ms in days for one in transport.look_up(wanted, at_ms))
        found = [one for one in listed if one.message_id in ours]
        best = max(found, key=lambda one: RANKS[one.state] if one.state else -1, default=None)
        if best is not None and best.state == "undelivered" and len(found) <= row.retries:
            return None  # these may be the tries before
        return best


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
