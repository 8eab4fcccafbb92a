"""Messages: the list with its filters, one message with what its provider said, and a failed one sent again."""

from typing import Any

import orjson
from flask import Blueprint, Response, url_for
from sqlalchemy import Engine, func, select

from carboy.errors import CarboyError
from carboy.http_values import MAX_ID, render_cursor
from carboy.jobs import first_id
from carboy.problems import Problem
from carboy.services.sms.gateway import Gateway
from carboy.services.sms.numbers import parse_number
from carboy.services.sms.prices import price_of
from carboy.services.sms.requests import read_send
from carboy.services.sms.service import sms_of
from carboy.services.sms.states import OPEN, STATES, WAITING, is_handed_over
from carboy.services.sms.tables import ATTEMPTS, MESSAGES, REQUESTS
from carboy.services.sms.templates import Template
from carboy.web import (
    PAGE_ROWS,
    Fact,
    Failure,
    Runtime,
    Summary,
    Tally,
    find_tally,
    form_field,
    go_to_page,
    has_scope,
    mark,
    query_value,
    read_choice,
    read_cursor,
    read_time_range,
    record_action,
    render_page,
    require_scope,
    runtime,
    show_notice,
)

_WINDOW = 20_000  # rows that one view of a filtered list looks at
_NEWEST = 10
_MOST_ATTEMPTS = 200
_RESENDABLE = ("failed", "undelivered", "expired")


PHASE_WORDS = {
    "closed": mark("gets messages"), "half-open": mark("is tried again"), "open": mark("skipped after errors"),
}  # fmt: skip
"""What the phase of a circuit breaker means for its provider."""


class _MessageTally(Tally):
    """Counts of messages by hour."""


def gateway() -> tuple[Runtime, Gateway]:
    """Return the runtime and the gateway of the current application."""
    current = runtime()
    return current, sms_of(current.app)


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("messages", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<int:row>", "show", _show)
    made.add_url_rule("/<int:row>/number", "reveal", _reveal, methods=["POST"])
    made.add_url_rule("/<int:row>/cancel", "cancel", _cancel, methods=["POST"])
    made.add_url_rule("/<int:row>/resend", "resend", _resend, methods=["POST"])
    return made


def _index() -> Response:
    current, sms = gateway()
    place, error = read_cursor(), ""
    state = read_choice("state", STATES)
    conditions: dict[str, str] = {
        "template": query_value("template", 100),
        "provider": query_value("provider", 64),
        "state": state,
        "country": query_value("country", 2).upper(),
    }
    if number := query_value("receiver"):
        try:
            conditions["receiver_hash"] = sms.hash(parse_number(number, sms.rules.numbers.of_look_ups).e164)
        except (CarboyError, ValueError):
            error = mark("This is not a number that can be looked up.")
    rows, following = ([], None) if error else _page(current, conditions, place[0] if place else None)
    return render_page(
        "sms/messages.html", rows=rows, following=render_cursor(following) if following else None, states=STATES,
        templates=sorted(sms.rules.templates), providers=sorted(sms.dispatcher.routes), error=error,
    )  # fmt: skip


def _page(current: Runtime, conditions: dict[str, str], before: int | None) -> tuple[list[Any], int | None]:
    """Return a page of messages, the newest first, and the id before which the next begins."""
    start_ms, end_ms = read_time_range()
    bounds = [] if start_ms is None else [MESSAGES.c.id >= first_id(start_ms)]
    edges = (before, None if end_ms is None else first_id(end_ms))
    bounds += [MESSAGES.c.id < edge for edge in edges if edge is not None]
    wanted = {name: value for name, value in conditions.items() if value}
    has_index = "receiver_hash" in wanted or wanted.keys() <= {"state"}
    newest = select(MESSAGES).where(*bounds).order_by(MESSAGES.c.id.desc())
    if has_index:
        chosen = newest.where(*(MESSAGES.c[name] == value for name, value in wanted.items()))
    else:
        window = newest.limit(_WINDOW).subquery()
        chosen = select(window).where(*(window.c[name] == value for name, value in wanted.items()))
        chosen = chosen.order_by(window.c.id.desc())
    with current.engine.connect() as connection:
        rows = list(connection.execute(chosen.limit(PAGE_ROWS + 1)).all())
        if len(rows) > PAGE_ROWS:
            return rows[:PAGE_ROWS], rows[PAGE_ROWS - 1].id
        last = newest.with_only_columns(MESSAGES.c.id).offset(_WINDOW - 1).limit(1)
        return rows, None if has_index else connection.execute(last).scalar()


def _find(current: Runtime, row: int) -> tuple[Any, Any]:
    with current.engine.connect() as connection:
        message = connection.execute(select(MESSAGES).where(MESSAGES.c.id == min(row, MAX_ID))).one_or_none()
        if message is None:
            raise Problem(404, "there is no such message")
        return message, connection.execute(select(REQUESTS).where(REQUESTS.c.id == message.request)).one_or_none()


def _show(row: int, number: str = "") -> Response:
    current, sms = gateway()
    message, asked = _find(current, row)
    template = sms.rules.templates.get(message.template)
    params = _params(message, asked, template)
    may_read = has_scope("sms:content")
    if params is not None and may_read:
        record_action("message.read_params", str(message.id))
    steps: list[dict[str, Any]] = [
        {"title": mark("Accepted"), "at": message.created_at, "state": "ok", "detail": ""},
        {"title": mark("Handed over"), "at": message.sent_at, "state": "ok", "detail": message.provider or ""},
        {"title": message.state, "at": message.settled_at, "state": _kind(message.state),
         "detail": " ".join(one for one in (message.code, message.words) if one)},
    ]  # fmt: skip
    shown = [one for one in steps if one["at"] is not None or one["title"] == message.state]
    return render_page(
        "sms/message.html", message=message, steps=shown, number=number, attempts=_attempts(current, message),
        cost=_cost(sms, message), params=params if may_read else None, has_params=params is not None,
        may_read=may_read, can_resend=message.state in _RESENDABLE and message.receiver and template is not None,
        can_cancel=message.state in WAITING, asked_params=template.params if template and params is None else (),
    )  # fmt: skip


def _params(message: Any, asked: Any, template: Template | None) -> Any:
    """Return the message's own parameters, or those of its request; None once they are deleted."""
    if message.params:
        return orjson.loads(message.params)
    shared = orjson.loads(asked.params) if asked is not None and asked.params else None
    is_own = shared == {} and template is not None and template.params  # each receiver had its own, which are deleted
    return None if is_own else shared


def _attempts(current: Runtime, message: Any) -> list[Any]:
    """Return the calls to providers for a message, the oldest first; the one that took it stands in the message."""
    query = select(ATTEMPTS).where(ATTEMPTS.c.message == message.id).order_by(ATTEMPTS.c.id).limit(_MOST_ATTEMPTS)
    with current.engine.connect() as connection:
        found: list[Any] = list(connection.execute(query).all())
    if message.sent_at is not None:
        found.append({"at": message.sent_at, "provider": message.provider, "kind": mark("accepted")})
    return found


def _cost(sms: Gateway, message: Any) -> Any:
    """Return what the parts of a message cost; None where that is not known, or it was not handed over."""
    is_billed = is_handed_over(message.state) or message.state == "unknown"
    price = price_of(sms.settings.sms_prices, message.provider or "", message.country or "")
    return None if price is None or not is_billed or not message.segments else price * message.segments


def _reveal(row: int) -> Response:
    require_scope("sms:numbers")
    current, _ = gateway()
    message, _ = _find(current, row)
    record_action("message.read_number", str(message.id))
    return _show(row, message.receiver or "")


def _resend(row: int) -> Response:
    require_scope("sms:send")
    current, sms = gateway()
    message, asked = _find(current, row)
    template = sms.rules.templates.get(message.template)
    params = _params(message, asked, template)
    if message.state not in _RESENDABLE or template is None or not message.receiver:
        raise Problem(409, "only a failed message whose template and number are still there can be sent again")
    if params is None:
        params = {name: form_field(name) for name in template.params}
        if missing := [name for name, value in params.items() if not value]:
            raise Problem(422, f"the parameter {missing[0]} needs a value")
    body = {"receivers": [message.receiver], "template": message.template, "params": params}
    accepted = sms.submit(read_send(body, sms.rules), "")  # the template may have changed since
    record_action("message.resend", str(message.id), f"as request {accepted.row}")
    show_notice(mark("The message is sent again, as a new one."))
    return go_to_page("messages.show", row=accepted.ids[0])


def _cancel(row: int) -> Response:
    require_scope("sms:send")
    current, sms = gateway()
    message, _ = _find(current, row)
    sms.cancel(message.id)
    record_action("message.cancel", str(message.id))
    show_notice(mark("The message is canceled."))
    return go_to_page("messages.show", row=message.id)


def summarize() -> Summary:
    """Return what was accepted, sent and delivered, how the providers are, and the newest failures."""
    current, sms = gateway()
    tally = find_tally(current, _MessageTally, _count, MESSAGES.c.id)
    href = url_for("messages.index")
    figures = [
        tally.figure("sent", mark("Messages sent"), href),
        tally.figure("delivered", mark("Messages delivered"), f"{href}?state=delivered"),
        tally.figure("failed", mark("Messages failed"), f"{href}?state=failed", is_bad=True),
    ]
    kinds = {"closed": "ok", "half-open": "run", "open": "bad"}
    facts = [
        Fact(mark("Providers"), name, PHASE_WORDS[phase], kinds[phase], href=url_for("providers.index"))
        for name, (phase, _) in sms.circuits.shown().items()
    ]
    query = select(MESSAGES).where(MESSAGES.c.state == "failed").order_by(MESSAGES.c.id.desc()).limit(_NEWEST)
    with current.engine.connect() as connection:
        rows = connection.execute(query).all()
    failures = [
        Failure(
            row.settled_at or row.created_at, f"{row.template} {row.receiver_shown}",
            " ".join(one for one in (row.provider, row.code, row.words) if one), url_for("messages.show", row=row.id),
        )
        for row in rows
    ]  # fmt: skip
    return Summary(figures, facts, failures)


def _count(engine: Engine, start_ms: int, end_ms: int) -> dict[str, int]:
    query = (
        select(MESSAGES.c.state, func.count())
        .where(MESSAGES.c.id >= first_id(start_ms), MESSAGES.c.id < first_id(end_ms))
        .group_by(MESSAGES.c.state)
    )
    with engine.connect() as connection:
        found = {str(state): int(count) for state, count in connection.execute(query)}
    sent = sum(found.get(state, 0) for state in ("sent", "delivered", "undelivered"))
    failed = found.get("failed", 0) + found.get("undelivered", 0)
    is_open = sum(found.get(state, 0) for state in (*OPEN, "sent", "unknown"))
    return {"sent": sent, "delivered": found.get("delivered", 0), "failed": failed, "open": is_open}


def _kind(state: str) -> str:
    if state in {"failed", "undelivered", "expired", "unknown"}:
        return "bad"
    return "ok" if is_handed_over(state) else "run" if state in OPEN else ""
