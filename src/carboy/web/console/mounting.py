"""Mount the console in an application: its addresses are known at once, the rest is loaded with the first request."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

log: BoundLogger = get_logger("carboy.console")

_RULES = (
    "/<nothing:page>", "/<any(login,logout):page>", "/login/<any(oidc,callback):page>", "/login/<token>", "/console/",
    "/console/<path:page>",
)  # fmt: skip
"""Rules with an argument, so that an application's own `/` and `/login` take precedence, whenever they are added."""


class Console:
    """The console's own Flask application, made at the first request; the service's Jinja and hooks stay untouched."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._app: Flask | None = None

    @property
    def app(self) -> "Flask":
        """The application; two threads may make it at the same time, and one of the two stays."""
        if self._app is None:
            from carboy.web.console.application import make_application

            self._app = make_application(self._runtime)
        return self._app

    def error_page(self, environ: Mapping[str, Any], problem: Problem) -> "tuple[bytes, Mapping[str, str]] | None":
        """Return an error as HTML with its headers; None for a client that does not ask for HTML."""
        if "html" not in environ.get("HTTP_ACCEPT", ""):
            return None
        from carboy.web.console.error_pages import make_error_page

        try:
            return make_error_page(environ, problem, self.app)
        except Exception as error:  # the problem document stays, whatever a page needs
            log.error("error_page_failed", exc_info=error)
            return None


def plain_error_page(environ: Mapping[str, Any], problem: Problem) -> "tuple[bytes, Mapping[str, str]] | None":
    """Return an error as HTML that loads nothing, with its headers; None for a client that does not ask for HTML."""
    if "html" not in environ.get("HTTP_ACCEPT", ""):
        return None
    from carboy.web.console.error_pages import make_error_page

    return make_error_page(environ, problem, None)


def add_console(app: "Flask", runtime: "Runtime") -> None:
    """Add the console where `CONSOLE` is on and there is a database; elsewhere a browser gets plain error pages.

    With `CONSOLE_BIND` the console is made, and served by its own listener.
    """
    if not runtime.is_adopted:
        runtime.error_page = plain_error_page
    if not runtime.web.console or not runtime.has_database or find_spec("sqlalchemy") is None:
        return
    console = Console(runtime)
    runtime.keep(console)
    if runtime.web.console_bind is not None:
        return
    runtime.error_page = console.error_page

    def view(**_: str) -> "ResponseReturnValue":
        from flask import Response, request

        return Response.from_app(console.app.wsgi_app, request.environ)

    from werkzeug.routing import BaseConverter

    app.url_map.converters["nothing"] = type("Nothing", (BaseConverter,), {"regex": ""})
    methods = ["GET", "POST"]
    for rule in _RULES:
        app.add_url_rule(rule, f"carboy_console{rule}", view, methods=methods, provide_automatic_options=False)
