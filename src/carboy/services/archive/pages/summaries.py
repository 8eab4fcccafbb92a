"""What the archive adds to the overview: counts, sources, destinations."""

from typing import TYPE_CHECKING

from flask import url_for
from sqlalchemy import func, select

from carboy.jobs import first_id
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES
from carboy.services.archive.pages.event_queries import count_events
from carboy.services.archive.pages.reaching import Reach, reach
from carboy.services.archive.tables import ITEMS
from carboy.web import Fact, Failure, Summary, Tally, find_tally, mark

if TYPE_CHECKING:
    from sqlalchemy import Engine

_NEWEST = 10


class _EventTally(Tally):
    """Counts of events by hour."""


class _DeliveryTally(Tally):
    """Counts of deliveries by hour."""


def event_tally(at: Reach) -> Tally:
    """Return the counts of events of this process."""
    return find_tally(at.runtime, _EventTally, count_events, ITEMS.c.id)


def summarize_events() -> Summary:
    """Return what was received and archived, and the last event of each source."""
    at = reach()
    tally, href = event_tally(at), url_for("events.index")
    figures = [
        tally.figure("received", mark("Received"), href),
        tally.figure("archived", mark("Archived"), f"{href}?state=archived"),
    ]
    facts = []
    for name in at.sources():
        seen_ms = at.archive.index.last_received_ms(name)
        known = (mark("last event"), "ok") if seen_ms else (mark("no event yet"), "wait")
        facts.append(Fact(mark("Sources"), name, *known, seen_ms, url_for("events.index", source=name)))
    return Summary(figures, facts)


def summarize_destinations() -> Summary:
    """Return what was delivered and what failed, and how each destination does."""
    at = reach()
    destinations = at.archive.destinations
    names = destinations.names()
    if not names:
        return Summary()
    tally = find_tally(at.runtime, _DeliveryTally, _count_deliveries, DELIVERIES.c.id)
    href = url_for("destinations.index")
    figures = [
        tally.figure("delivered", mark("Delivered"), href),
        tally.figure("failed", mark("Deliveries failed"), href, is_bad=True),
    ]
    facts = []
    for name in names:
        one = destinations.describe(name)
        kind = {"active": "ok", "paused": "wait"}.get(one["state"], "bad")
        facts.append(
            Fact(
                mark("Destinations"), name, mark("%(state)s, %(waiting)s waiting, %(failed)s failed"), kind,
                href=url_for("destinations.show", name=name),
                params={key: one[key] for key in ("state", "waiting", "failed")},
            )
        )  # fmt: skip
    return Summary(figures, facts, [failure for name in names for failure in _failures(at.engine, name)])


def _failures(engine: "Engine", name: str) -> list[Failure]:
    last = (ATTEMPTS.c.delivery == DELIVERIES.c.id) & (ATTEMPTS.c.number == DELIVERIES.c.attempts)
    query = (
        select(DELIVERIES, ATTEMPTS.c.error)
        .outerjoin_from(DELIVERIES, ATTEMPTS, last)
        .where(DELIVERIES.c.destination == name, DELIVERIES.c.state == "failed")
        .order_by(DELIVERIES.c.id.desc())
        .limit(_NEWEST)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        Failure(
            row.finished_at or row.created_at, f"{row.destination}: {row.event_id}", row.error or "",
            url_for("destinations.delivery", delivery=row.id),
        )
        for row in rows
    ]  # fmt: skip


def _count_deliveries(engine: "Engine", start_ms: int, end_ms: int) -> dict[str, int]:
    query = (
        select(DELIVERIES.c.state, func.count())
        .where(DELIVERIES.c.id >= first_id(start_ms), DELIVERIES.c.id < first_id(end_ms))
        .group_by(DELIVERIES.c.state)
    )
    with engine.connect() as connection:
        found = {str(state): int(count) for state, count in connection.execute(query)}
    return {**found, "open": found.get("waiting", 0) + found.get("delivering", 0)}
