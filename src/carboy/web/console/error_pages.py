"""Errors as HTML, for a client that asks for it; the others get problem documents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Request, render_template
from markupsafe import Markup

from carboy.logs import request_id
from carboy.problems import Problem
from carboy.web.console.access import is_html
from carboy.web.console.languages import choose_language, translations
from carboy.web.console.rendering import HEADERS

if TYPE_CHECKING:
    from flask import Flask

_HEADERS = {**HEADERS, "Vary": "Accept, Accept-Language", "Content-Type": "text/html; charset=utf-8"}

_PLAIN = Markup(
    '<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    "<title>{status} {what}</title></head>\n"
    "<body><main><h1>{status} {what}</h1><p>{detail}</p>"
    "<p>{request} <code>{request_id}</code></p></main></body></html>\n"
)


def make_error_page(
    environ: Mapping[str, Any], problem: Problem, inner: "Flask | None"
) -> tuple[bytes, Mapping[str, str]] | None:
    """Return an error as a page in the language of the request, and its headers; None for a client that wants no HTML.

    Args:
        environ: of the request.
        problem: what went wrong.
        inner: the console's application; None where the console is not served, for a page that loads nothing.
    """
    request = Request(dict(environ), populate_request=False)
    if not is_html(request):
        return None
    if inner is not None:
        with inner.request_context({**environ, "wsgi.input": None, "CONTENT_LENGTH": "0"}):
            page = render_template("console/error.html", problem=problem, request_id=request_id())
        return page.encode(), _HEADERS
    language = choose_language(list(request.accept_languages))
    texts = translations(language).gettext
    plain = _PLAIN.format(
        language=language, status=problem.status, what=texts(problem.what), detail=texts(problem.detail),
        request=texts("Request"), request_id=request_id(),
    )  # fmt: skip
    return plain.encode(), _HEADERS
