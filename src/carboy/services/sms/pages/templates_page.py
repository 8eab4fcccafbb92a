"""Templates: each with its parameters, a preview, its parts, and its ids at the providers; send a test message."""

from typing import Any

from flask import Blueprint, Response

from carboy.problems import Problem
from carboy.services.sms.gateway import Gateway
from carboy.services.sms.pages.messages import gateway
from carboy.services.sms.requests import read_send
from carboy.services.sms.segments import count_parts
from carboy.services.sms.templates import Template
from carboy.web import (
    form_field,
    go_to_page,
    mark,
    query_value,
    record_action,
    render_page,
    require_scope,
    show_notice,
)

_EXAMPLE = "123456"


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("templates", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<name>", "show", _show)
    made.add_url_rule("/<name>/send", "send", _send, methods=["POST"])
    return made


def _index() -> Response:
    _, sms = gateway()
    return render_page("sms/templates.html", rows=[_row(sms, one) for one in sms.rules.templates.values()])


def _row(sms: Gateway, one: Template) -> dict[str, Any]:
    return {"template": one, "providers": list(sms.rules.carriers[one.name])}


def _get(sms: Gateway, name: str) -> Template:
    found = sms.rules.templates.get(name)
    if found is None:
        raise Problem(404, "there is no such template")
    return found


def _show(name: str) -> Response:
    _, sms = gateway()
    one = _get(sms, name)
    values = {param: query_value(param, 1000) or _EXAMPLE for param in one.params}
    text = one.render(values) if one.text else ""
    return render_page(
        "sms/template.html", one=one, values=values, text=text, count=count_parts(text) if text else None,
        **_row(sms, one),
    )  # fmt: skip


def _send(name: str) -> Response:
    require_scope("sms:send")
    _, sms = gateway()
    one = _get(sms, name)
    params = {param: form_field(param) for param in one.params}
    body = {"receivers": [form_field("receiver")], "template": one.name, "params": params}
    accepted = sms.submit(read_send(body, sms.rules), "")
    record_action("template.send_test", one.name, f"as request {accepted.row}")
    show_notice(mark("The test message is on its way."))
    return go_to_page("messages.show", row=accepted.ids[0])
