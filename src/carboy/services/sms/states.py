"""What is known of a message, and how two pieces of knowledge become one. Nothing here touches the world.

Reports of providers are repeated and come out of order. Each state has a rank, and the higher rank stays: whatever the
order, the end is the same.
"""

from typing import Literal, get_args

__all__ = ["OPEN", "RANKS", "STATES", "State", "is_handed_over", "settle"]

State = Literal["queued", "sending", "unknown", "failed", "sent", "undelivered", "delivered"]

STATES: tuple[State, ...] = get_args(State)
"""In the order of their ranks.

`failed` means that nobody took the message, so a provider that says otherwise knows better; `delivered` is proof,
which a late `undelivered` of another part or path does not undo.
"""

RANKS: dict[str, int] = {state: rank for rank, state in enumerate(STATES)}
OPEN: tuple[State, ...] = ("queued", "sending")


def settle(known: State, told: State) -> State:
    """Return the state of a message of which both are said; the order does not matter, nor does repetition."""
    return known if RANKS[known] >= RANKS[told] else told


def is_handed_over(state: str) -> bool:
    """Return whether a provider took the message."""
    return RANKS[state] >= RANKS["sent"]
