"""A visitor of the console: a name and scopes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person at the console.

    Attributes:
        name: as it is shown and audited.
        scopes: what they may see and do; `*` for everything, None for everything without a login (`AUTH=off`).
        key_id: the API key that they came with.
        sends_key: whether the request itself brings the key, which no browser does by itself.
    """

    name: str
    scopes: frozenset[str] | None
    key_id: str | None = None
    sends_key: bool = False

    def may(self, scope: str) -> bool:
        """Return whether a scope is theirs; the empty one is everybody's."""
        return not scope or self.scopes is None or scope in self.scopes or "*" in self.scopes
