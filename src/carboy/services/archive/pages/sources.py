"""Sources: who may send, how that is checked, the address to enter at the sender, and what came of late."""

from typing import Any

from flask import Blueprint, Response

from carboy.problems import Problem
from carboy.services.archive.pages.reaching import reach
from carboy.services.archive.pages.summaries import event_tally, last_event
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import THREATSTACK
from carboy.web import host_url, render_page

__all__ = ["make_blueprint"]


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("sources", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<name>", "show", _show)
    return made


def _index() -> Response:
    at = reach()
    tables, tally = at.runtime.newest(ArchiveSettings).archive_sources, event_tally(at)
    rows = [
        {
            "name": name,
            "config": tables.get(name) or SourceConfig(),
            "last": last_event(at.engine, name),
            "figure": tally.figure(f"source:{name}", name),
        }
        for name in at.sources()
    ]
    return render_page("archive/sources.html", rows=rows)


def _show(name: str) -> Response:
    at = reach()
    if name not in at.sources():
        raise Problem(404, "there is no such source")
    config = at.runtime.newest(ArchiveSettings).archive_sources.get(name) or SourceConfig()
    figure = event_tally(at).figure(f"source:{name}", name)
    return render_page(
        "archive/source.html", name=name, config=config, address=_address(name, config), figure=figure,
        last=last_event(at.engine, name),
    )  # fmt: skip


def _address(name: str, config: Any) -> str:
    """Return what is entered at the sender; a path token is not shown."""
    base = host_url()
    if name == THREATSTACK and not config.tokens:
        return f"{base}/api/v1/s3/alert"
    return f"{base}/api/v1/webhooks/{name}" + ("/<token>" if config.tokens else "")
