"""One archived event as destinations, filters and functions see it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from carboy.http_values import render_time
from carboy.services.archive.items import Item, NewItem, event_id, render_body


@dataclass(frozen=True)
class Event:
    """What was received once, and what is known of it.

    Attributes:
        source: whose.
        id: as its sender wrote it.
        type: of the event; empty where its source has none.
        at_ms: its own time, milliseconds since the epoch.
        received_at_ms: when it arrived.
        content_type: of the body.
        body: the bytes as they came; of Threat Stack one alert.
    """

    source: str
    id: str
    type: str
    at_ms: int
    received_at_ms: int
    content_type: str
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body decoded; None where it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @cached_property
    def document(self) -> dict[str, Any]:
        """What filters and bodies are computed over: the body's JSON, with `_source`, `_type`, `_id`, `_received_at`.

        JSON that is not an object stands in `_body`, text that is not JSON too. The severity of an alert is a number.
        """
        known = {
            "_source": self.source,
            "_type": self.type,
            "_id": self.id,
            "_received_at": render_time(self.received_at_ms),
        }
        if isinstance(self.json, dict):
            return {**self.json, **self._numbers(), **known}
        return {"_body": self.text if self.json is None else self.json, **known}

    def _numbers(self) -> dict[str, int]:
        """Return the severity of an alert as a number: Threat Stack's webhooks have it as text, its API does not."""
        severity = self.json.get("severity") if self.source == "threatstack" and self.json else None
        if isinstance(severity, str) and severity.isascii() and severity.isdigit():
            return {"severity": int(severity[:9])}
        return {}

    @property
    def text(self) -> str:
        """The body as text; base64 where it is not UTF-8."""
        [text] = render_body(self.body).values()
        return text


def event_of(item: Item | NewItem, received_at_ms: int, body: bytes) -> Event:
    """Return the event of a kept item and its bytes."""
    return Event(item.source, event_id(item), item.type or "", item.at_ms, received_at_ms, item.content_type, body)
