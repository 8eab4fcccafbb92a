"""Errors as HTML, for a client that asks for it; the others get problem documents."""

from typing import TYPE_CHECKING, Any

from flask import Request
from markupsafe import Markup

from carboy.problems import Problem
from carboy.web.console.access import is_html
from carboy.web.console.languages import choose_language, translations
from carboy.web.console.rendering import HEADERS

if TYPE_CHECKING:
    from flask import Flask

ERROR_HEADERS = {**HEADERS, "Vary": "Accept, Accept-Language", "Content-Type": "text/html; charset=utf-8"}

_PLAIN = Markup(
    '<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    "<title>{status} {what}</title></head>\n"
    "<body><main><h1>{status} {what}</h1><p>{detail}</p>"
    "<p>{request} <code>{request_id}</code></p></main></body></html>\n"
)


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


def make_plain_page(environ: dict[str, Any], problem: Problem, request_id: str) -> bytes | None:
    """Return an error as a page that loads nothing, for an address where the console is not served."""
    request = Request(environ, populate_request=False)
    if not is_html(request):
        return None
    language = choose_language(list(request.accept_languages))
    texts = translations(language).gettext
    return _PLAIN.format(
        language=language, status=problem.status, what=texts(problem.what), detail=texts(problem.detail),
        request=texts("Request"), request_id=request_id,
    ).encode()  # fmt: skip
