"""Give an application's own routes precedence over Carboy's at the same path, whichever were added first."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flask import request, request_started

from carboy.extension import extension_of

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.routing import Rule

_OURS = "carboy_"  # how the endpoints of Carboy's routes begin


def has_own_route(app: "Flask", path: str) -> bool:
    """Return whether the application answers `GET` at a path of Carboy's itself."""
    return any(rule.rule == path and "GET" in (rule.methods or ()) for rule in _own(app))


def prefer_own_routes(app: "Flask") -> None:
    """Route requests to the application's own rule where Carboy has the same one; call it in the first request."""
    ours = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith(_OURS)}
    own = {(rule.rule, method): rule for rule in _own(app) if rule.rule in ours for method in rule.methods or ()}

    def on_start(_app: "Flask", **_: Any) -> None:
        rule = request.url_rule
        if rule is not None and rule.endpoint.startswith(_OURS):
            request.url_rule = own.get((rule.rule, request.method), rule)

    if own:
        extension_of(app).connect(request_started, app, on_start)
        on_start(app)


def at_first_request(app: "Flask", act: Callable[[], None]) -> None:
    """Call a function when the first request begins: by then every route and extension is there."""

    def on_start(_app: "Flask", **_: Any) -> None:
        request_started.disconnect(on_start, app)
        act()

    extension_of(app).connect(request_started, app, on_start)


def _own(app: "Flask") -> "Iterator[Rule]":
    return (rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(_OURS))
