"""Health: what `carboy doctor` checks, as cards with the cure."""

from flask import Blueprint, Response

from carboy.web.console.rendering import render_page
from carboy.web.diagnosis import diagnose
from carboy.web.runtime import runtime


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("health", __name__)
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    return made


def _index() -> Response:
    current = runtime()
    findings = list(diagnose(current))
    bad = [one for one in findings if not one.ok]
    return render_page("console/health.html", findings=[*bad, *(one for one in findings if one.ok)], bad=len(bad))
