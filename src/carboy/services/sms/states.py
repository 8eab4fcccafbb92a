"""States of a message, and how two reports are merged. Nothing here does I/O.

Providers repeat reports and send them out of order. Each state has a rank, and the higher rank stays, so that the
result does not depend on the order.
"""

from typing import Literal, get_args

State = Literal[
    "scheduled",
    "held",
    "queued",
    "sending",
    "unknown",
    "canceled",
    "opted_out",
    "expired",
    "failed",
    "sent",
    "undelivered",
    "delivered",
]

STATES: tuple[State, ...] = get_args(State)
"""The states, in the order of their ranks.

`failed` means that no provider took the message, so a provider's own report outranks it; `delivered` is proof, which a
late `undelivered` of another part or path does not undo.
"""

WAITING: tuple[State, ...] = ("scheduled", "held", "queued")
"""No provider is being asked, so that the message can still be canceled."""

OPEN: tuple[State, ...] = (*WAITING, "sending")
FAILED: tuple[State, ...] = ("failed", "expired")

RANKS: dict[str, int] = {state: rank for rank, state in enumerate(STATES)}


def settle(known: State, reported: State) -> State:
    """Return the state of a message after a report; neither order nor repetition matters."""
    return known if RANKS[known] >= RANKS[reported] else reported


def is_handed_over(state: str) -> bool:
    """Return whether a provider accepted the message."""
    return RANKS[state] >= RANKS["sent"]
