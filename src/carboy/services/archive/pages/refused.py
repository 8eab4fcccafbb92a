"""Refused: requests that a source turned away, with the reason."""

from flask import Blueprint, Response

from carboy.http_values import render_cursor
from carboy.services.archive.pages.reaching import reach
from carboy.services.archive.refusals import RefusedRequests
from carboy.web import PAGE_ROWS, mark, query_value, read_cursor, render_page

WORDS = (
    mark("signature"), mark("missing"), mark("time"), mark("token"), mark("address"), mark("handshake"),
    mark("topic"), mark("credentials"), mark("unknown_source"), mark("too_large"), mark("encoding"),
    mark("too_often"), mark("body"),
)  # fmt: skip
"""The reasons, marked for translation."""


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("refused", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    return made


def _index() -> Response:
    at, place = reach(), read_cursor()
    kept = at.runtime.find(RefusedRequests)
    source = query_value("source", 64)
    rows = [] if kept is None else kept.newest(source, PAGE_ROWS + 1, place[0] if place else None)
    following = render_cursor(rows[PAGE_ROWS - 1].id) if len(rows) > PAGE_ROWS else None
    return render_page("archive/refused.html", rows=rows[:PAGE_ROWS], following=following)
