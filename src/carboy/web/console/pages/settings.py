"""Settings: each value with its layer and the layers that it hides; what changed since the start; refresh."""

from typing import Any

from flask import Blueprint, Response, request

from carboy.web.console.audit import record_action
from carboy.web.console.rendering import go_to_page, render_page, show_notice
from carboy.web.pages import mark
from carboy.web.runtime import runtime


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("settings", __name__)
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/refresh", "refresh", _refresh, methods=["POST"])
    return made


def _index() -> Response:
    current = runtime()
    live = current.centre.live
    newest = current.settings if live is None else live.newest
    before, after = current.settings.flat(), newest.flat()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    word = request.args.get("q", "").strip().upper()[:100]
    is_given_only = request.args.get("given") == "1"
    entries = [
        {"entry": entry, "text": _text(entry.shown), "about": entry.setting.help if entry.setting else ""}
        for entry in newest
        if word in entry.name and not (is_given_only and entry.layer == "default")
    ]
    return render_page(
        "console/settings.html", entries=entries, changed=changed, warnings=newest.warnings, word=word,
        is_given_only=is_given_only,
    )  # fmt: skip


def _refresh() -> Response:
    live = runtime().centre.live
    if live is None:
        show_notice(mark("These settings do not change while the process runs."))
        return go_to_page("settings.index")
    changes = live.refresh()
    record_action("settings.refresh", "", "refused" if changes.refused else f"{len(changes.changed)} changed")
    if changes.refused:
        show_notice(
            mark("The new settings are not good, so the last good ones stay: %(why)s"), why=str(changes.refused)
        )
    else:
        count = len(changes.added) + len(changes.changed) + len(changes.removed)
        show_notice(mark("The settings were read again; %(count)s changed."), count=count)
    return go_to_page("settings.index")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        import orjson

        return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    return str(value)
