"""Erase the events of a person: find them by an expression, delete them, and write down what was deleted.

Refused requests whose body was kept are treated alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from carboy.clock import Clock
from carboy.db import chunks
from carboy.services.archive.destinations.events import Event
from carboy.services.archive.destinations.expressions import compile_expression, is_match
from carboy.services.archive.destinations.replay import Range, select_items
from carboy.services.archive.index import Index
from carboy.services.archive.items import Item
from carboy.services.archive.objects import Store
from carboy.services.archive.refusals import KEPT, Refused, RefusedRequests
from carboy.services.archive.retention import Upkeep
from carboy.web import audit_row

_AT_ONCE = 100


Holds = Callable[[str], bool]
"""Returns whether a hold keeps a source's events from being erased."""


@dataclass(frozen=True, slots=True)
class Found:
    """The events that match.

    Attributes:
        items: those that can be erased, every version of each.
        held: how many a hold keeps, by source.
    """

    items: Sequence[Item]
    held: dict[str, int]


def find(index: Index, store: Store, chosen: Range, is_held: Holds) -> Found:
    """Return the events of which any version in a range matches its expression, with all versions of them."""
    items: list[Item] = []
    held: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for item in select_items(index, store, chosen, every_version=True):
        if (item.source, item.item_id) in seen:
            continue
        seen.add((item.source, item.item_id))
        if is_held(item.source):
            held[item.source] = held.get(item.source, 0) + 1
        else:
            items += index.versions(item.source, item.item_id)
    return Found(items, held)


def find_refused(refused: RefusedRequests, chosen: Range, is_held: Holds) -> list[Refused]:
    """Return the refused requests of a range whose body was kept and matches its expression."""
    search = compile_expression(chosen.filter)
    return [
        one
        for one in refused.newest(limit=KEPT)
        if one.body and chosen.start_ms <= one.at_ms < chosen.end_ms
        if one.source in chosen.sources and not is_held(one.source)
        if is_match(search, Event(one.source, "", "", one.at_ms, one.at_ms, "", one.body).document)
    ]


def erase_refused(refused: RefusedRequests, found: Sequence[Refused], who: str, clock: Clock) -> None:
    """Delete refused requests; the audit log gets the id of each."""
    now_ms = clock.now_ms()
    rows = [audit_row(now_ms, who, "archive.erase", f"{one.source}/refused/{one.id}") for one in found]
    refused.erase([one.id for one in found], rows)


def erase(upkeep: Upkeep, items: Sequence[Item], who: str) -> Iterator[int]:
    """Delete events with their objects and deliveries; yield how many each batch had.

    The ids, and no contents, are written to the audit log, and to the log `carboy.audit`. What is left where this
    process is killed, jobs erase; where it is interrupted by hand, it stays.
    """
    by_source: dict[str, list[Item]] = {}
    for item in items:
        by_source.setdefault(item.source, []).append(item)
    batches = [batch for own in by_source.values() for batch in chunks(own, _AT_ONCE)]
    planned = upkeep.plan_erasing(batches, who)
    try:
        for batch in batches:
            upkeep.rest_after(partial(upkeep.erase, batch, who))
            yield len(batch)
    except (KeyboardInterrupt, GeneratorExit):
        upkeep.withdraw_erasing(planned)
        raise
