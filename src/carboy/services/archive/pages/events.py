"""Events: the list with its filters and exports, and one event with everything that is known of it."""

import shlex
from typing import Any

import orjson
from flask import Blueprint, Response
from sqlalchemy import select

from carboy.errors import UpstreamError
from carboy.http_values import MAX_ID, render_cursor, render_time
from carboy.problems import Problem
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES
from carboy.services.archive.items import event_id
from carboy.services.archive.object_keys import stored_id
from carboy.services.archive.pages.event_queries import (
    EventFilter,
    export_events,
    find_events,
    has_text,
    read_body,
    search_bodies,
)
from carboy.services.archive.pages.reaching import Reach, reach, retry_delivery
from carboy.services.archive.service import enqueue_row
from carboy.services.archive.sources import THREATSTACK
from carboy.services.archive.tables import ITEMS
from carboy.web import (
    PAGE_ROWS,
    Download,
    go_to_page,
    has_scope,
    host_url,
    make_download,
    mark,
    query_string,
    query_value,
    read_choice,
    read_cursor,
    read_time_range,
    record_action,
    render_page,
    require_scope,
    show_notice,
)

STATES = (mark("accepted"), mark("copied"), mark("archived"))
_MAX_EXPORT = 100_000
_SEARCHED = 300  # events whose bodies one view of the list reads
_MESSAGES = "sms"
_MESSAGE_SCOPES = ("sms:content", "sms:numbers")
_MAX_SHOWN_BYTES = 262_144
_FIELDS = ("id", "source", "type", "time", "received_at", "state", "severity", "content_type", "size",
           "object_key")  # fmt: skip


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("events", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/export.<any(ndjson,csv):form>", "export", _export)
    made.add_url_rule("/<int:row>", "show", _show)
    made.add_url_rule("/<int:row>/raw", "download", _download)
    made.add_url_rule("/<int:row>/replay", "replay", _replay, methods=["POST"])
    made.add_url_rule("/<int:row>/deliver/<int:delivery>", "deliver", _deliver, methods=["POST"])
    return made


def _filter() -> EventFilter:
    start_ms, end_ms = read_time_range()
    fields = {name: query_value(name) for name in ("source", "type", "severity")}
    prefix = stored_id(query_value("id"))
    return EventFilter(**fields, state=read_choice("state", STATES), prefix=prefix, start_ms=start_ms, end_ms=end_ms)


def _index() -> Response:
    at, chosen = reach(), _filter()
    sources, place = at.sources(), read_cursor()
    text = query_value("q", 200)
    page = find_events(at.engine, chosen, sources, place[0] if place else None, _SEARCHED if text else PAGE_ROWS)
    rows, is_cut, following = page.rows, page.is_cut, page.next
    if text:
        searched = [row for row in rows if not _hidden_by(row.source)]
        rows, stopped = search_bodies(at.archive.objects, at.engine, searched, text)
        following = following if stopped is None else stopped
        is_cut = is_cut or following is not None
    return render_page(
        "archive/events.html", rows=rows, following=render_cursor(following) if following else None, sources=sources,
        states=STATES, is_cut=is_cut, event_id=_shown_id,
    )  # fmt: skip


def _export(form: Download) -> Response:
    at, chosen = reach(), _filter()
    record_action("events.export", form, query_string())
    rows = export_events(at.engine, chosen, at.sources(), _MAX_EXPORT)
    if text := query_value("q", 200):
        hidden = _MESSAGES if _hidden_by(_MESSAGES) else None
        objects, engine = at.archive.objects, at.engine
        rows = (row for row in rows if row.source != hidden and has_text(objects, engine, row, text))
    return make_download("events", form, _FIELDS, map(_facts, rows))


def _facts(row: Any) -> dict[str, Any]:
    return {
        "id": _shown_id(row), "source": row.source, "type": row.event_type, "time": render_time(row.at),
        "received_at": render_time(row.received_at), "state": row.state, "severity": row.severity,
        "content_type": row.content_type, "size": row.size, "object_key": row.object_key,
    }  # fmt: skip


def _shown_id(row: Any) -> str:
    """Return the id of an event as its sender wrote it."""
    return event_id(row).encode("utf-8", "replace").decode()


def _find(at: Reach, row: int) -> Any:
    with at.engine.connect() as connection:
        found = connection.execute(select(*_WITHOUT_BODY).where(ITEMS.c.id == min(row, MAX_ID))).one_or_none()
    if found is None:
        raise Problem(404, "there is no such event")
    return found


_ATTEMPT = [column for column in ATTEMPTS.c if column.name != "response"]
_WITHOUT_BODY = [column for column in ITEMS.c if column.name != "body"]


def _hidden_by(source: str) -> list[str]:
    """Return the scopes that the visitor lacks to read events of a source: inbound messages are people's own words."""
    return [scope for scope in _MESSAGE_SCOPES if source == _MESSAGES and not has_scope(scope)]


def _read(at: Reach, event: Any) -> bytes | None:
    """Return the bytes of an event; reading a message is noted in the audit log."""
    if event.source == _MESSAGES:
        record_action("event.read_message", str(event.id))
    return read_body(at.archive.objects, at.engine, event)


def _show(row: int) -> Response:
    at = reach()
    event = _find(at, row)
    hidden = _hidden_by(event.source)
    body = None if hidden else _read(at, event)
    with at.engine.connect() as connection:
        same = (ITEMS.c.source == event.source) & (ITEMS.c.item_id == event.item_id)
        columns = (ITEMS.c.id, ITEMS.c.version, ITEMS.c.received_at, ITEMS.c.newest, ITEMS.c.state)
        versions = connection.execute(select(*columns).where(same).order_by(ITEMS.c.version.desc()).limit(50)).all()
        query = select(DELIVERIES).where(DELIVERIES.c.item == event.id).order_by(DELIVERIES.c.id).limit(200)
        deliveries = connection.execute(query).all() if has_scope("destinations:read") else []
        tried = ATTEMPTS.c.delivery.in_([one.id for one in deliveries])
        attempts = connection.execute(select(*_ATTEMPT).where(tried).order_by(ATTEMPTS.c.at).limit(200)).all()
    headers = orjson.loads(event.headers) if event.headers else {}
    return render_page(
        "archive/event.html", event=event, headers=headers, versions=versions, deliveries=deliveries,
        steps=_steps(at, event, deliveries, attempts), curl=_curl(event, headers, body), **_body_views(body),
        fetched=_fetched(at, event), hidden=hidden, event_id=_shown_id(event),
    )  # fmt: skip


def _body_views(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"size_bytes": None, "document": None, "is_json": False, "raw": None, "is_cut": False}
    shown = body[:_MAX_SHOWN_BYTES]
    try:
        document, is_json = orjson.loads(body), len(body) <= _MAX_SHOWN_BYTES
    except orjson.JSONDecodeError:
        document, is_json = None, False
    raw = shown.decode("utf-8", "replace")
    return {"size_bytes": len(body), "document": document, "is_json": is_json, "raw": raw, "is_cut": shown != body}


def _fetched(at: Reach, event: Any) -> Any:
    """Return the full alert that was fetched; None if it was not, or cannot be read now."""
    if not event.detail_key:
        return None
    try:
        return orjson.loads(at.archive.objects.get(event.detail_key))
    except (UpstreamError, orjson.JSONDecodeError):
        return None


def _steps(at: Reach, event: Any, deliveries: Any, attempts: Any) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"title": mark("Happened"), "at": event.at, "state": "", "detail": ""},
        {"title": mark("Received"), "at": event.received_at, "state": "ok", "detail": ""},
    ]
    kind = {"archived": "ok", "copied": "run"}.get(event.state, "")
    steps.append({"title": event.state, "at": None, "state": kind, "detail": event.object_key})
    if event.detail != "off":
        kind = {"kept": "ok", "missing": "bad"}.get(event.detail, "run")
        steps.append({"title": mark("Full alert"), "at": None, "state": kind, "detail": event.detail_key or ""})
    for job in at.runtime.jobs.store.list(state="dead", limit=200):
        if job.args[:1] == [event.id] and job.kind.startswith("archive."):
            last = ((job.error or "").strip().splitlines() or [""])[-1]
            steps.append({"title": mark("Failed"), "at": job.finished_at, "state": "bad", "detail": last[:300]})
    names = {one.id: one.destination for one in deliveries}
    for one in attempts:
        said = " ".join(str(part) for part in (one.status, one.error) if part)
        steps.append({"title": mark("Attempt"), "at": one.at, "state": "bad" if one.error else "ok",
                      "detail": f"{names[one.delivery]}: {said}"})  # fmt: skip
    for one in deliveries:
        kind = {"delivered": "ok", "failed": "bad", "expired": "bad"}.get(one.state, "run")
        steps.append({"title": one.state, "at": one.finished_at or one.next_at, "state": kind,
                      "detail": one.destination})  # fmt: skip
    return steps


def _curl(event: Any, headers: dict[str, str], body: bytes | None) -> str:
    """Return a command that sends the webhook again, as it came; a body that is no text is left to a file."""
    path = "/api/v1/s3/alert" if event.source == THREATSTACK else f"/api/v1/webhooks/{event.source}"
    parts = ["curl", "-X", "POST", host_url() + path, "-H", f"Content-Type: {event.content_type}"]
    for name, value in headers.items():
        if name.lower() not in {"content-type", "content-length", "host", "connection"}:
            parts += ["-H", f"{name}: {value}"]
    try:
        text = (body or b"").decode() if body is not None and len(body) <= 16_384 else None
    except UnicodeDecodeError:
        text = None
    if event.source == THREATSTACK and text is not None:
        text = f'{{"alerts":[{text}]}}'
    parts += ["--data-raw", text] if text is not None else ["--data-binary", "@event.raw"]
    return shlex.join(parts)


def _download(row: int) -> Response:
    at = reach()
    event = _find(at, row)
    if hidden := _hidden_by(event.source):
        require_scope(hidden[0])
    body = _read(at, event)
    if body is None:
        raise Problem(503, "its object cannot be read now")
    headers = {"Content-Disposition": f'attachment; filename="event-{event.id}.raw"',
               "Content-Security-Policy": "default-src 'none'; sandbox"}  # fmt: skip
    return Response(body, headers=headers, content_type="application/octet-stream")


def _replay(row: int) -> Response:
    require_scope("archive:write")
    at = reach()
    event = _find(at, row)
    enqueue_row(at.runtime, at.archive.replay, event.id)
    record_action("event.replay", f"{event.source}/{_shown_id(event)}")
    show_notice(mark("The event is archived again."))
    return go_to_page("events.show", row=event.id)


def _deliver(row: int, delivery: int) -> Response:
    retry_delivery(delivery)
    return go_to_page("events.show", row=row)
