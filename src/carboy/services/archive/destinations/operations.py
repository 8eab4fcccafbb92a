"""The operations of `openapi.yaml`, by their operationId."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from carboy.errors import Fault, InvalidInput, Missing
from carboy.http_values import MAX_ID, parse_cursor, parse_query_time, render_cursor
from carboy.problems import Problem
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.expressions import compile_expression
from carboy.services.archive.destinations.replay import Range
from carboy.services.archive.destinations.service import Destinations, describe_attempt
from carboy.services.archive.destinations.store import DeliveryFilter

Answer = tuple[dict[str, Any], int]


class DestinationOperations:
    """What is answered about destinations.

    Args:
        sources: returns the names of the sources that there are.
        notify: notifies the job engine of new work.
    """

    def __init__(
        self, destinations: Destinations, sources: Callable[[], Iterable[str]], notify: Callable[[], None]
    ) -> None:
        self._destinations, self._sources, self._notify = destinations, sources, notify

    def list_destinations(self) -> dict[str, Any]:
        """Return all destinations."""
        names = self._destinations.names()
        return {"success": True, "destinations": [self._destinations.describe(name) for name in names]}

    def get_destination(self, name: str) -> dict[str, Any]:
        """Return one destination."""
        with _found():
            return {"success": True, **self._destinations.describe(name)}

    def list_deliveries(
        self,
        name: str,
        state: str | None = None,
        since: str | None = None,
        until: str | None = None,
        event: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Return deliveries to a destination, the newest first."""
        faults: list[Fault] = []
        since_ms, until_ms = (_time(key, text, faults) for key, text in (("since", since), ("until", until)))
        if since_ms is not None and until_ms is not None and since_ms > until_ms:
            faults.append(Fault("until", "it is before `since`"))
        before = _before(cursor, faults)
        _raise(faults)
        items = None if event is None else self._destinations.items_of(event, list(self._sources()))
        chosen = DeliveryFilter(state, since_ms, until_ms, items, before)
        with _found():
            found = self._destinations.deliveries(name, chosen, limit + 1)
        following = render_cursor(int(found[limit - 1]["id"])) if len(found) > limit else None
        return {"success": True, "deliveries": found[:limit], "next": following}

    def get_delivery(self, delivery: str) -> dict[str, Any]:
        """Return one delivery with its attempts."""
        with _found():
            return {"success": True, **self._destinations.delivery(min(int(delivery), MAX_ID))}

    def retry_delivery(self, delivery: str) -> Answer:
        """Try one delivery again."""
        with _found():
            count = self._destinations.retry_delivery(min(int(delivery), MAX_ID))
        if not count:
            raise Problem(409, "it is on its way or was delivered: replay its event for a new delivery")
        return {"success": True, "deliveries": count}, 202

    def retry_deliveries(self, name: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Try all deliveries of a destination that are in a state again."""
        state = (body or {}).get("state", "failed")
        with _found():
            return {"success": True, "deliveries": self._destinations.retry(name, state)}, 202

    def drop_deliveries(self, name: str) -> dict[str, Any]:
        """End what waits without a further attempt."""
        with _found():
            return {"success": True, "deliveries": self._destinations.drop(name)}

    def pause_destination(self, name: str) -> dict[str, Any]:
        """Hold deliveries back."""
        with _found():
            self._destinations.pause(name)
        return self.get_destination(name)

    def resume_destination(self, name: str) -> dict[str, Any]:
        """Let deliveries go."""
        with _found():
            self._destinations.resume(name)
        return self.get_destination(name)

    def test_destination(self, name: str) -> dict[str, Any]:
        """Send a sample event."""
        with _found():
            attempt = self._destinations.test(name)
        return {"success": attempt.is_delivered, **describe_attempt(attempt)}

    def replay_to_destination(self, name: str, body: Mapping[str, Any]) -> Answer:
        """Deliver a range again."""
        with _found():
            destination = self._destinations.get(name)
        return self._replay(body, destination, list(self._sources()))

    def replay_source(self, source: str, body: Mapping[str, Any]) -> Answer:
        """Archive a range again."""
        if source not in self._sources():
            raise Problem(404, "there is no such source")
        return self._replay(body, None, [source])

    def _replay(self, body: Mapping[str, Any], destination: Destination | None, sources: list[str]) -> Answer:
        chosen = read_range(body, sources)
        replayer = self._destinations.replayer
        count = replayer.count(chosen, destination)
        if count and not body.get("dry_run", False):
            replayer.start(chosen, destination)
            self._notify()
        return {"success": True, "events": count}, 202


@contextmanager
def _found() -> Iterator[None]:
    """Answer 404 where a destination or a delivery does not exist, with the reason."""
    try:
        yield
    except Missing as error:
        raise Problem(404, error.why) from error


def read_range(body: Mapping[str, Any], sources: list[str]) -> Range:
    """Return the range that a request names.

    Args:
        body: has `from`, `until`, and may have `source` and `filter`.
        sources: those that there are.

    Raises:
        InvalidInput: with every fault.
    """
    faults: list[Fault] = []
    start_ms, end_ms = (_time(f"/{key}", body[key], faults) or 0 for key in ("from", "until"))
    if not faults and start_ms > end_ms:
        faults.append(Fault("/until", "it is before `from`"))
    source = body.get("source")
    if source is not None and source not in sources:
        faults.append(Fault("/source", f"it is not a source here; there are {', '.join(sources)}"))
    filter_ = body.get("filter", "")
    if filter_:
        try:
            compile_expression(filter_)
        except ValueError as error:
            faults.append(Fault("/filter", f"it {error}"))
    _raise(faults)
    return Range(tuple(sources) if source is None else (source,), start_ms, end_ms, filter_)


def _time(pointer: str, text: str | None, faults: list[Fault]) -> int | None:
    if text is None:
        return None
    try:
        return parse_query_time(text)
    except ValueError as error:
        faults.append(Fault(pointer, str(error)))
        return None


def _before(cursor: str | None, faults: list[Fault]) -> int | None:
    if cursor is None:
        return None
    try:
        return parse_cursor(cursor, 1)[0]
    except ValueError as error:
        faults.append(Fault("cursor", str(error)))
        return None


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise InvalidInput("the request cannot be read", "; ".join(one.detail for one in faults), "", faults)
