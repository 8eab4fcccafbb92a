"""What a stand-in knows and how it is told to behave."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

__all__ = ["Control", "Refusal", "Sent", "State"]

Fault = Literal["throttle", "temporary", "account", "blocked", "error", "stall", "cut", "reset", "late"]


@dataclass(frozen=True, slots=True)
class Control:
    """How a stand-in behaves; `tell` replaces single fields.

    Attributes:
        key: the account's id.
        secret: the account's secret.
        latency_s: how long each answer takes.
        fault: what goes wrong: a refusal in the provider's own words (`throttle`, `temporary`, `account`, `blocked`),
            an `error` of a proxy (502 without words); or the text is sent and the answer is a `stall`, a `cut`, a
            `reset`, or `late`.
        fault_calls: for how many calls; 0 for all.
        late_s: how long a `late` answer takes.
        bad_numbers: receivers that are refused for good.
        skew_s: how far a request's time may be from ours; 0 for the provider's own limit.
    """

    key: str = "test-key"
    secret: str = "test-secret"
    latency_s: float = 0.0
    fault: Fault | None = None
    fault_calls: int = 0
    late_s: float = 1.0
    bad_numbers: tuple[str, ...] = ()
    skew_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A text that was sent to one receiver."""

    receiver: str
    text: str
    provider_id: str
    echo: str = ""
    callback: str = ""


class Refusal(Exception):
    """A request that is refused: status and body as the provider writes them."""

    def __init__(self, kind: str, why: str = "") -> None:
        super().__init__(kind, why)
        self.kind: str = kind
        self.why: str = why


@dataclass(slots=True)
class State:
    """What happened so far.

    Attributes:
        sent: every text that was sent, in order.
        calls: how often each outcome was given.
        nonces: that were used; some providers take each once.
    """

    control: Control = field(default_factory=Control)
    sent: list[Sent] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
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
        if "bad_numbers" in changes:
            changes["bad_numbers"] = tuple(changes["bad_numbers"])
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
        """Return an id that no text has."""
        return f"{prefix}{len(self.sent) + 1:08d}"
