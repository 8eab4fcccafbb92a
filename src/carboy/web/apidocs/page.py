"""Render an OpenAPI document as one page to read: no assets from elsewhere, and whole without script."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache, partial
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from carboy.web.apidocs.request_example import examples_of, make_form, render_curl, render_form, render_json
from carboy.web.apidocs.schema_view import describe, follow

_FOLDER = Path(__file__).parent
_METHODS = ("get", "query", "post", "put", "patch", "delete", "head", "options", "trace")
_UNTAGGED = "operations"
_NO_WORD = re.compile(r"[^a-z0-9]+")


def render_page(document: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the page and its headers; by the content security policy nothing but what it brings itself is loaded."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    page = _template().render(
        info=document["info"],
        schemes=document.get("components", {}).get("securitySchemes", {}),
        groups=_group(document),
        abouts={tag["name"]: tag.get("description", "") for tag in document.get("tags", ())},
        follow=partial(follow, document),
        describe=partial(describe, document),
        style=Markup(style),  # noqa: S704 (a file of this package)
        script=Markup(script),  # noqa: S704
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
    }
    return page.encode(), headers


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters.update(prose=_prose, inline=_inline)
    environment.globals.update(
        phrase=_phrase, way=_way, examples_of=examples_of, render_json=render_json, render_curl=render_curl,
        render_form=render_form,
    )  # fmt: skip
    return environment.get_template("page.html")


class _Operation:
    """One operation, with what the page shows of it."""

    def __init__(
        self, document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any], node: Mapping[str, Any]
    ) -> None:
        self.method, self.node = method, node
        self.anchor = _NO_WORD.sub("-", str(node.get("operationId") or f"{method} {path}").lower()).strip("-")
        self.shown = Markup("/<wbr>").join(path.split("/"))  # it may break after a slash
        words = [node.get("summary", ""), node.get("operationId", ""), *node.get("tags", ())]
        self.words = " ".join(map(str, words)).lower()  # what the filter looks for, beyond the path
        self.parameters = [follow(document, one) for one in (*item.get("parameters", ()), *node.get("parameters", ()))]
        body = node.get("requestBody")
        self.body = None if body is None else follow(document, body)
        self.responses = {status: follow(document, one) for status, one in node.get("responses", {}).items()}
        self.form = make_form(document, method, path, node, self.parameters)


def _group(document: Mapping[str, Any]) -> dict[str, list[_Operation]]:
    """Return the operations by their first tag, in the order of the tags; those without one, often the own, first."""
    groups: dict[str, list[_Operation]] = {_UNTAGGED: [], **{tag["name"]: [] for tag in document.get("tags", ())}}
    for path, item in document.get("paths", {}).items():
        nodes = {method: item[method] for method in _METHODS if method in item}
        for method, node in {**nodes, **item.get("additionalOperations", {})}.items():
            tags = node.get("tags") or [_UNTAGGED]
            groups.setdefault(tags[0], []).append(_Operation(document, path, method, item, node))
    return {tag: operations for tag, operations in groups.items() if operations}


def _way(scheme: Mapping[str, Any]) -> str:
    """Return how a caller shows who it is."""
    if "description" in scheme:
        return _inline(scheme["description"])
    match scheme.get("type"), str(scheme.get("scheme", "")).lower():
        case "http", "bearer":
            return _inline(f"`Authorization: Bearer {scheme.get('bearerFormat', '…')}`")
        case "apiKey", _:
            return _inline(f"`{scheme.get('name')}` in the {scheme.get('in')}")
        case kind, way:
            return f"{kind} {way}".strip()


def _phrase(status: object) -> Markup:
    """Return what a status is called, before the words of the document."""
    try:
        return Markup("<strong>{}</strong> ").format(HTTPStatus(int(str(status))).phrase)
    except ValueError:
        return Markup("")


def _prose(text: str) -> Markup:
    """Return a description's paragraphs, with `code` and **emphasis**; any other Markdown is shown as it is."""
    parts = re.split(r"\n\s*\n", text.strip())
    return Markup("").join(Markup("<p>{}</p>").format(_inline(part)) for part in parts if part)


def _inline(text: str) -> Markup:
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", found))  # noqa: S704 (the text is escaped)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
