"""Providers: share of the traffic, health, errors and balance of each; take one out of turn, put it back."""

from flask import Blueprint, Response

from carboy.problems import Problem
from carboy.services.sms.pages.messages import PHASE_WORDS, gateway
from carboy.services.sms.provider_reports import describe_providers, set_turn
from carboy.web import go_to_page, mark, record_action, render_page, require_scope, show_notice


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("providers", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<name>/<any(out,back):action>", "act", _act, methods=["POST"])
    return made


def _index() -> Response:
    _, sms = gateway()
    rows = []
    for one in describe_providers(sms):
        word, kind = PHASE_WORDS[one["circuit"]], {"closed": "ok", "half-open": "run"}.get(one["circuit"], "bad")
        if one["out_since"]:
            word, kind = mark("out of turn"), "wait"
        rows.append({**one, "word": word, "mark": kind, "calls": {key: n for key, n in one["calls"].items() if n}})
    return render_page("sms/providers.html", rows=rows)


def _act(name: str, action: str) -> Response:
    require_scope("sms:send")
    _, sms = gateway()
    if name not in sms.dispatcher.routes:
        raise Problem(404, "there is no such provider")
    set_turn(sms, name, is_out=action == "out")
    said = {
        "out": mark("%(name)s gets no messages until it is put back."),
        "back": mark("%(name)s gets messages again."),
    }
    show_notice(said[action], name=name)
    record_action(f"provider.{action}", name)
    return go_to_page("providers.index")
