"""Errors as HTML, for a client that asks for it; the others get problem documents."""

from typing import TYPE_CHECKING, Any

from flask import Request

from carboy.problems import Problem
from carboy.web.console.access import is_html
from carboy.web.console.rendering import HEADERS

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["make_error_page"]


def make_error_page(inner: "Flask", environ: dict[str, Any], problem: Problem, request_id: str) -> bytes | None:
    """Return an error as a page, in the language of the request; None for a client that does not ask for HTML.

    Args:
        inner: the console's application.
        environ: of the request.
        problem: what went wrong.
        request_id: as `X-Request-Id` says it.
    """
    if not is_html(Request(environ, populate_request=False)):
        return None
    from flask import render_template

    quiet = {**environ, "wsgi.input": None, "CONTENT_LENGTH": "0"}
    with inner.request_context(quiet):
        page = render_template("console/error.html", problem=problem, request_id=request_id)
    return page.encode()


ERROR_HEADERS = {**HEADERS, "Vary": "Accept, Accept-Language", "Content-Type": "text/html; charset=utf-8"}
