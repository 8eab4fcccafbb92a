"""Destinations: how each does, its deliveries and attempts; test, pause, resume, retry, replay."""

from typing import Any

from flask import Blueprint, Response

from carboy.errors import CarboyError
from carboy.http_values import MAX_ID, render_cursor
from carboy.problems import Problem
from carboy.services.archive.destinations.operations import read_range
from carboy.services.archive.destinations.store import STATES, DeliveryFilter
from carboy.services.archive.pages.reaching import Reach, found, reach, retry_delivery
from carboy.web import (
    PAGE_ROWS,
    form_field,
    go_to_page,
    mark,
    read_choice,
    read_cursor,
    read_time_range,
    record_action,
    render_page,
    require_scope,
    show_notice,
)

_WORDS = (mark("waiting"), mark("delivering"), mark("failing"), mark("removed"))


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("destinations", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<name>", "show", _show)
    made.add_url_rule("/<name>/<any(test,pause,resume,retry,drop,replay):action>", "act", _act, methods=["POST"])
    made.add_url_rule("/deliveries/<int:delivery>", "delivery", _delivery)
    made.add_url_rule("/deliveries/<int:delivery>/retry", "retry", _retry, methods=["POST"])
    return made


def _index() -> Response:
    destinations = reach().archive.destinations
    rows = [destinations.describe(name) for name in destinations.names()]
    return render_page("archive/destinations.html", rows=rows)


def _show(name: str) -> Response:
    at = reach()
    one = _get(at, name)
    place, (start_ms, end_ms) = read_cursor(), read_time_range()
    state = read_choice("state", STATES)
    chosen = DeliveryFilter(state or None, start_ms, end_ms, None, place[0] if place else None)
    found = at.archive.destinations.deliveries(name, chosen, PAGE_ROWS + 1)
    following = render_cursor(int(found[PAGE_ROWS - 1]["id"])) if len(found) > PAGE_ROWS else None
    return render_page(
        "archive/destination.html", one=one, deliveries=found[:PAGE_ROWS], following=following, states=STATES,
        sources=at.sources(),
    )  # fmt: skip


def _act(name: str, action: str) -> Response:
    require_scope("destinations:write")
    at = reach()
    if _get(at, name)["state"] == "removed" and action != "drop":
        raise Problem(409, "the settings no longer have this destination")
    destinations: Any = at.archive.destinations
    match action:
        case "test":
            attempt = destinations.test(name)
            if attempt.is_delivered:
                show_notice(mark("The sample event was delivered."))
            else:
                show_notice(mark("The sample event was not delivered: %(why)s"), why=attempt.error or attempt.status)
        case "pause":
            destinations.pause(name)
            show_notice(mark("Deliveries are held back; none is lost."))
        case "resume":
            destinations.resume(name)
            show_notice(mark("Deliveries go on."))
        case "drop":
            show_notice(mark("%(count)s deliveries were dropped."), count=destinations.drop(name))
        case "retry":
            show_notice(mark("%(count)s deliveries are tried again."), count=destinations.retry(name, "failed"))
        case _:
            return _replay(at, name)
    record_action(f"destination.{action}", name)
    return go_to_page("destinations.show", name=name)


def _replay(at: Reach, name: str) -> Response:
    """Deliver a range of events again; the form says how many first where its box is ticked."""
    body: dict[str, Any] = {key: f"{form_field(key)}Z" for key in ("from", "until")}
    body |= {key: given for key in ("source", "filter") if (given := form_field(key))}
    destinations: Any = at.archive.destinations
    try:
        chosen = read_range(body, at.sources())
        destination = destinations.get(name)
        count = destinations.replayer.count(chosen, destination)
    except CarboyError as error:
        raise Problem(422, str(error)) from error
    if form_field("dry_run"):
        show_notice(mark("It would be %(count)s events."), count=count)
    else:
        if count:
            destinations.replayer.start(chosen, destination)
            at.runtime.jobs.notify()
        record_action("destination.replay", name, f"{body['from']} to {body['until']}: {count} events")
        show_notice(mark("%(count)s events are delivered again."), count=count)
    return go_to_page("destinations.show", name=name)


def _delivery(delivery: int) -> Response:
    with found("there is no such delivery"):
        one = reach().archive.destinations.delivery(min(delivery, MAX_ID))
    return render_page("archive/delivery.html", one=one)


def _retry(delivery: int) -> Response:
    retry_delivery(delivery)
    return go_to_page("destinations.delivery", delivery=delivery)


def _get(at: Reach, name: str) -> dict[str, Any]:
    with found("there is no such destination"):
        return at.archive.destinations.describe(name)
