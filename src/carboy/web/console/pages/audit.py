"""The audit log: who did what; filter and export."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from carboy.http_values import render_cursor, render_time
from carboy.web.console.audit import list_audit, record_action
from carboy.web.console.downloads import Download, make_download
from carboy.web.console.forms import PAGE_ROWS, read_cursor, read_time
from carboy.web.console.rendering import render_page
from carboy.web.runtime import runtime
from carboy.web.tables import AUDIT

_EXPORT_PAGE = 1000
_FIELDS = tuple(column.name for column in AUDIT.c)
_MAX_EXPORT = 100_000


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("audit", __name__)
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/export.<any(csv,ndjson):form>", "export", _export)
    return made


def _filters() -> dict[str, Any]:
    return {
        "who": request.args.get("who", "").strip()[:200],
        "action": request.args.get("action", "").strip()[:100],
        "start_ms": read_time("from"),
        "end_ms": read_time("until"),
    }


def _index() -> Response:
    place = read_cursor()
    rows = list_audit(**_filters(), before=place[0] if place else None, limit=PAGE_ROWS + 1)
    following = render_cursor(rows[PAGE_ROWS - 1].id) if len(rows) > PAGE_ROWS else None
    return render_page("console/audit.html", rows=rows[:PAGE_ROWS], following=following)


def _export(form: Download) -> Response:
    filters = _filters()
    record_action("audit.export", form)
    return make_download("audit", form, _FIELDS, _rows(filters))


def _rows(filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a filter, the newest first, a page in memory at a time."""
    app = runtime().app
    before, count = None, 0
    while count < _MAX_EXPORT:
        with app.app_context():
            rows = list_audit(**filters, before=before, limit=_EXPORT_PAGE)
        for row in rows:
            one = {str(name): value for name, value in row._mapping.items()}
            yield {**one, "id": str(row.id), "at": render_time(row.at)}
        count += len(rows)
        if len(rows) < _EXPORT_PAGE:
            return
        before = rows[-1].id
