"""API keys: create, shown once, and revoke."""

from flask import Blueprint, Response, request

from carboy.config import parse_duration
from carboy.errors import InvalidInput, Missing
from carboy.problems import Problem
from carboy.web.console.audit import record_action
from carboy.web.console.rendering import go_to_page, render_page, show_notice
from carboy.web.console.roles import all_scopes
from carboy.web.pages import mark
from carboy.web.runtime import runtime

LIVES = {"": mark("never"), "1d": mark("in a day"), "30d": mark("in 30 days"), "365d": mark("in a year")}


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("keys", __name__)
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/", "create", _create, methods=["POST"], strict_slashes=False)
    made.add_url_rule("/<key_id>/revoke", "revoke", _revoke, methods=["POST"])
    return made


def _index() -> Response:
    return _page()


def _create() -> Response:
    name, scopes = request.form.get("name", "").strip(), request.form.getlist("scope")
    scopes = [one for given in scopes for one in given.split()]
    life = request.form.get("expires", "")
    current = runtime()
    expires_at = current.clock.now_ms() + round(parse_duration(life) * 1000) if life and life in LIVES else None
    try:
        key, text = current.keys.store.create(name, scopes, expires_at)
    except InvalidInput as error:
        return _page(422, error=str(error), name=name, chosen=scopes)
    record_action("key.create", key.id, f"{key.name}: {' '.join(key.scopes)}")
    return _page(201, created=key, text=text)


def _revoke(key_id: str) -> Response:
    try:
        key = runtime().keys.store.revoke(key_id)
    except Missing as error:
        raise Problem(404, "there is no such key") from error
    runtime().keys.forget(key_id)
    record_action("key.revoke", key.id, key.name)
    show_notice(mark("The key %(name)s is revoked."), name=key.name)
    return go_to_page("keys.index")


def _page(status: int = 200, **values: object) -> Response:
    keys = runtime().keys.store.list()[::-1]
    now_ms = runtime().clock.now_ms()
    return render_page(
        "console/keys.html", status, keys=keys, now_ms=now_ms, scopes=all_scopes(runtime()), lives=LIVES,
        **{"created": None, "text": "", "error": "", "name": "", "chosen": (), **values},
    )  # fmt: skip
