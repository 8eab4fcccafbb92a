"""State of a stand-in, and how a test controls it."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

__all__ = ["MAINLAND", "Control", "Refusal", "Sent", "State"]

Fault = Literal["throttle", "internal", "account", "blocked", "error", "stall", "cut", "reset", "late"]

MAINLAND = "+86"


@dataclass(frozen=True, slots=True)
class Control:
    """How a fake server behaves; each field can be set alone.

    Attributes:
        key: the account's id.
        secret: the account's secret.
        latency_s: how long each response takes.
        fault: what goes wrong: a refusal with a code of the provider (`throttle`, `internal`, `account`, `blocked`),
            an `error` of a proxy (502 without words); or the message is sent and the response is a `stall`, a `cut`, a
            `reset`, or `late`.
        fault_calls: for how many calls; 0 for all.
        code: every request that is understood is refused with this code of the provider; empty for none.
        status: the HTTP status of that refusal; 0 for the provider's own.
        retry_after: the value of `Retry-After` in refusals; empty for none.
        late_s: how long a `late` response takes.
        bad_numbers: receivers that are refused for good.
        opted_out: receivers that have opted out.
        countries: country codes that the account may send to, such as `+86`; empty for all.
        templates: the number of parameters of each approved template; empty to take any template.
        not_delivered: queries say that no message was delivered, with this code of the provider; empty for delivered.
        balance: what is left of the account: money, or messages.
        skew_s: how far a request's time may be from ours; 0 for the provider's own limit.
    """

    key: str = "test-key"
    secret: str = "test-secret"
    latency_s: float = 0.0
    fault: Fault | None = None
    fault_calls: int = 0
    code: str = ""
    status: int = 0
    retry_after: str = ""
    late_s: float = 1.0
    bad_numbers: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    templates: dict[str, int] = field(default_factory=dict)
    not_delivered: str = ""
    balance: float = 100.0
    skew_s: float = 0.0

    def allows(self, number: str) -> bool:
        """Return whether the account may send to a number's country."""
        return not self.countries or number.startswith(self.countries)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent to one receiver."""

    receiver: str
    text: str
    provider_id: str
    echo: str = ""
    callback: str = ""
    day: str = ""


class Refusal(Exception):
    """A refused request, with the provider's own code.

    Attributes:
        code: as the provider writes it; for AWS with the reason after a slash.
        words: the provider's message.
        status: of HTTP; 0 for the usual one of the provider.
    """

    def __init__(self, code: str, words: str = "", status: int = 0) -> None:
        super().__init__(code, words, status)
        self.code: str = code
        self.words: str = words or code
        self.status: int = status


@dataclass(slots=True)
class State:
    """What happened so far.

    Attributes:
        sent: every message that was sent, in order.
        calls: how often each kind of response was given: `answered`, a fault, or `refused: <code>`.
        targets: of the requests, as a proxy's access log has them.
        nonces: that were used; some providers take each once.
    """

    control: Control = field(default_factory=Control)
    sent: list[Sent] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    targets: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    _left: int = 0

    def tell(self, **changes: Any) -> None:
        """Change fields of `control`.

        Raises:
            ValueError: there is no such field.
        """
        unknown = set(changes) - {one.name for one in fields(Control)}
        if unknown:
            raise ValueError(f"no such control: {', '.join(sorted(unknown))}")
        for name in {"bad_numbers", "opted_out", "countries"} & set(changes):
            changes[name] = tuple(changes[name])
        if "fault" in changes:
            changes = {"fault_calls": 0, **changes}
        self.control = replace(self.control, **changes)
        self._left = self.control.fault_calls

    def fault(self) -> Fault | None:
        """Return what goes wrong with this call, and count it."""
        fault = self.control.fault
        if fault is None or self.control.fault_calls == 0:
            return fault
        if self._left == 0:
            return None
        self._left -= 1
        return fault

    def next_id(self, prefix: str) -> str:
        """Return an id that no message has."""
        return f"{prefix}{len(self.sent) + 1:08d}"

    def use_nonce(self, nonce: str, code: str) -> None:
        """Refuse a nonce that was used before."""
        if not nonce or nonce in self.nonces:
            raise Refusal(code)
        self.nonces.add(nonce)
