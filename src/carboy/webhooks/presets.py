"""The presets of senders: what `presets.toml` says of each, read one at a time."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).with_name("presets.toml")
_FACTS = ("title", "docs", "enter", "secret", "checked", "evidence", "note")


@dataclass(frozen=True, slots=True)
class Preset:
    """A sender of webhooks and how its webhooks are verified.

    Attributes:
        name: as a source's `preset` has it.
        title: the sender's own name.
        docs: the address of the document that the facts come from.
        enter: where a person enters the address of the source at the sender.
        secret: who makes the secret: the `sender`, `you`, both in an `exchange`, or `none`.
        checked: how it was verified: against a `published example` that a test has, against the source of the
            `sender's SDK`, against the `document`, against the source of a `public receiver`, or `not checked`.
        evidence: the address of that, where it is not `docs`.
        note: what else to know; may be empty.
        keys: the keys of a source, such as `verify` and `header`; a source's own keys replace them.
    """

    name: str
    title: str
    docs: str
    enter: str
    secret: Literal["sender", "you", "exchange", "none"]
    checked: Literal["published example", "sender's SDK", "document", "public receiver", "not checked"]
    evidence: str
    note: str
    keys: Mapping[str, Any]

    @property
    def needs(self) -> Literal["secrets", "tokens", "SNS_TOPIC_ARNS", "audience"]:
        """The setting that a person must give."""
        if self.keys["verify"] == "sns":
            return "SNS_TOPIC_ARNS"
        if "jwks_url" in self.keys:
            return "audience"
        return "tokens" if self.keys["verify"] == "key" or "exchange" in self.keys else "secrets"

    @property
    def signs_address(self) -> bool:
        """Whether the sender signs the address that it was given: behind a proxy, a source needs `public_url`."""
        return self.keys["verify"] in {"twilio", "messagebird"} or "{url}" in str(self.keys.get("template", ""))


@lru_cache(maxsize=256)
def find_preset(name: str) -> Preset | None:
    """Return the preset of a name; None for an unknown name."""
    import tomllib  # most services name no preset

    text = _sections().get(name)
    if text is None:
        return None
    table = tomllib.loads(text)
    facts = {key: table.pop(key, "") for key in _FACTS}
    return Preset(name=name, keys=table, **facts)


def list_presets() -> list[Preset]:
    """Return all presets, sorted by name."""
    return [preset for name in sorted(_sections()) if (preset := find_preset(name))]


def nearest_preset(name: str) -> str:
    """Return the name of the preset that a misspelt one most likely means; empty where none is near."""
    wanted = name.lower().replace("_", "-").replace(".", "-")
    if joined := {one.replace("-", ""): one for one in _sections()}.get(wanted.replace("-", "")):
        return joined
    return next(iter(difflib.get_close_matches(wanted, _sections(), 1)), "")


@lru_cache(maxsize=1)
def _sections() -> dict[str, str]:
    """Return the text of each table by name: reading one of them as TOML takes far less time than reading all."""
    tables = _FILE.read_text(encoding="utf-8").split("\n\n[")[1:]
    return {table.partition("]")[0]: table.partition("]\n")[2] for table in tables}
