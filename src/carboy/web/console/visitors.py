"""A visitor of the console: a name and scopes."""

from dataclasses import dataclass

__all__ = ["Visitor"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person at the console.

    Attributes:
        name: as it is shown and audited.
        scopes: what they may see and do; None for everything (`AUTH=off`).
        key_id: the API key that they came with.
    """

    name: str
    scopes: frozenset[str] | None
    key_id: str | None = None

    def may(self, scope: str) -> bool:
        """Return whether a scope is theirs; the empty one is everybody's."""
        return not scope or self.scopes is None or scope in self.scopes
