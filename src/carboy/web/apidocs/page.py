"""Render an OpenAPI document as one page to read: no assets from elsewhere, and whole without script."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

from carboy.web.apidocs.request_example import examples_of, render_json, render_request
from carboy.web.apidocs.schema_view import SchemaText, follow

_FOLDER = Path(__file__).parent
_METHODS = ("get", "query", "post", "put", "patch", "delete", "head", "options", "trace")
_UNTAGGED = "operations"
_NO_WORD = re.compile(r"[^a-z0-9]+")


def render_page(document: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the page and its headers; by the content security policy nothing but what it brings itself is loaded."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    title = escape(document["info"]["title"])
    groups = _group(document)
    body = "".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API</title>',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f'<style>{style}</style></head><body><div class="page">',
            _navigation(title, groups),
            f"<main>{_header(document, title)}",
            *(_section(document, tag, operations) for tag, operations in groups.items()),
            '<footer>The same as <a href="openapi.json">JSON</a> and <a href="openapi.yaml">YAML</a>.</footer>',
            f"</main></div><script>{script}</script></body></html>",
        ]
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
    return body.encode(), headers


class _Operation:
    """One operation, with what its page needs of it."""

    def __init__(self, path: str, method: str, item: Mapping[str, Any], node: Mapping[str, Any]) -> None:
        self.path, self.method, self.node = path, method, node
        self.parameters = [*item.get("parameters", ()), *node.get("parameters", ())]
        self.anchor = _NO_WORD.sub("-", str(node.get("operationId") or f"{method} {path}").lower()).strip("-")


def _group(document: Mapping[str, Any]) -> dict[str, list[_Operation]]:
    """Return the operations by their first tag, in the order of the tags; those without one, often the own, first."""
    groups: dict[str, list[_Operation]] = {_UNTAGGED: [], **{tag["name"]: [] for tag in document.get("tags", ())}}
    for path, item in document.get("paths", {}).items():
        nodes = {method: item[method] for method in _METHODS if method in item}
        for method, node in {**nodes, **item.get("additionalOperations", {})}.items():
            tags = node.get("tags") or [_UNTAGGED]
            groups.setdefault(tags[0], []).append(_Operation(path, method, item, node))
    return {tag: operations for tag, operations in groups.items() if operations}


def _navigation(title: str, groups: Mapping[str, Sequence[_Operation]]) -> str:
    parts = [f'<nav aria-label="operations"><strong>{title}</strong>']
    parts.append('<input type="search" placeholder="Filter" aria-label="filter the operations" hidden>')
    parts.append('<p class="nothing" role="status" hidden>No operation has these words.</p>')
    parts.append('<details class="list" open><summary>Operations</summary>')
    for tag, operations in groups.items():
        links = "".join(
            f'<li data-words="{escape(_words(one))}"><a href="#{one.anchor}">{_verb(one)}'
            f'<span class="path">{_path(one)}</span></a></li>'
            for one in operations
        )
        parts.append(f"<h2>{escape(tag)}</h2><ul>{links}</ul>")
    return "".join([*parts, "</details></nav>"])


def _verb(one: _Operation) -> str:
    method = escape(one.method)
    return f'<span class="verb {method.lower()}">{method.upper()}</span>'


def _words(one: _Operation) -> str:
    """Return what the filter looks for, beyond the path."""
    words = [one.node.get("summary", ""), one.node.get("operationId", ""), *one.node.get("tags", ())]
    return " ".join(map(str, words)).lower()


def _header(document: Mapping[str, Any], title: str) -> str:
    info = document["info"]
    schemes = document.get("components", {}).get("securitySchemes", {})
    ways = "".join(f"<li><code>{escape(name)}</code> {_scheme(one)}</li>" for name, one in schemes.items())
    ways = f'<ul class="ways">{ways}</ul>' if ways else ""
    text = _prose(info.get("description", ""))
    key = (
        '<p class="try" hidden><label>API key, for the requests you try <input type="password" class="key" '
        'autocomplete="off" placeholder="cby_…"></label> It is not stored.</p>'
    )
    return f"<header><h1>{title}</h1><p>Version {escape(str(info['version']))}</p>{text}{ways}{key}</header>"


def _scheme(scheme: Mapping[str, Any]) -> str:
    """Return how a caller shows who it is."""
    if "description" in scheme:
        return _inline(scheme["description"])
    match scheme.get("type"), str(scheme.get("scheme", "")).lower():
        case "http", "bearer":
            return _inline(f"`Authorization: Bearer {scheme.get('bearerFormat', '…')}`")
        case "apiKey", _:
            return _inline(f"`{scheme.get('name')}` in the {scheme.get('in')}")
        case kind, way:
            return escape(f"{kind} {way}".strip())


def _section(document: Mapping[str, Any], tag: str, operations: Sequence[_Operation]) -> str:
    about = next((one.get("description", "") for one in document.get("tags", ()) if one["name"] == tag), "")
    lead = f'<div class="lead">{_prose(about)}</div>' if about else ""
    schemas = SchemaText(document)
    return f"<h2>{escape(tag)}</h2>{lead}" + "".join(_operation(document, schemas, one) for one in operations)


def _operation(document: Mapping[str, Any], schemas: SchemaText, one: _Operation) -> str:
    node = one.node
    css = " gone" if node.get("deprecated") else ""
    return "".join(
        [
            f'<details class="op" id="{one.anchor}"><summary>',
            _verb(one),
            f'<span class="path{css}">{_path(one)}</span>',
            f'<span class="what">{escape(node.get("summary", ""))}</span></summary><div class="in">',
            _prose(node.get("description", "")),
            _security(node.get("security", ())),
            _parameters(document, schemas, one.parameters),
            _body(document, schemas, node.get("requestBody")),
            _answers(document, schemas, node.get("responses", {})),
            render_request(document, one.method, one.path, node, one.parameters),
            "</div></details>",
        ]
    )


def _security(security: Sequence[Mapping[str, Sequence[str]]]) -> str:
    if not security:
        return ""
    ways = []
    for one in security:
        named = [
            f"<code>{escape(name)}</code>" + "".join(f" <code>{escape(s)}</code>" for s in scopes)
            for name, scopes in one.items()
        ]
        if named:
            ways.append(" and ".join(named))
    optional = "" if all(security) else ("optional: no authentication" if ways else "no authentication")
    text = " or ".join(ways)
    return f"<h3>Authentication</h3><p>{text}{'; ' if text and optional else ''}{optional}</p>"


def _parameters(document: Mapping[str, Any], schemas: SchemaText, parameters: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for given in parameters:
        one = follow(document, given)
        must = ' <span class="must">required</span>' if one.get("required") else ""
        about = _prose(one.get("description", "")) + schemas.render(one.get("schema", {}), depth=3)
        rows.append(
            f'<tr><td><code>{escape(one["name"])}</code>{must}<br><span class="type">{escape(one["in"])}</span></td>'
            f"<td>{about}</td></tr>"
        )
    return f"<h3>Parameters</h3><table>{''.join(rows)}</table>" if rows else ""


def _body(document: Mapping[str, Any], schemas: SchemaText, body: Mapping[str, Any] | None) -> str:
    if body is None:
        return ""
    body = follow(document, body)
    return f"<h3>Body</h3>{_prose(body.get('description', ''))}{_content(schemas, body.get('content', {}))}"


def _answers(document: Mapping[str, Any], schemas: SchemaText, answers: Mapping[str, Any]) -> str:
    parts = ["<h3>Responses</h3>"] if answers else []
    for status, given in answers.items():
        one = follow(document, given)
        words = _phrase(str(status)) + _inline(one.get("description", one.get("summary", "")))
        parts.append(
            f'<details class="answer"><summary><span class="status">{escape(str(status))}</span>{words}</summary>'
            f"{_content(schemas, one.get('content', {}))}</details>"
        )
    return "".join(parts)


def _phrase(status: str) -> str:
    """Return what a status is called, before the words of the document."""
    try:
        return f"<strong>{HTTPStatus(int(status)).phrase}</strong> "
    except ValueError:
        return ""


def _content(schemas: SchemaText, content: Mapping[str, Any]) -> str:
    parts = []
    for kind, media in content.items():
        parts.append(f'<p class="type">{escape(kind)}</p>{schemas.render(media.get("schema", {}))}')
        examples = (escape(render_json(example)) for example in examples_of(media))
        parts += [f'<pre tabindex="0"><code>{text}</code></pre>' for text in examples]
    return "".join(parts)


def _prose(text: str) -> str:
    """Return a description's paragraphs, with `code` and **emphasis**; any other Markdown is shown as it is."""
    return "".join(f"<p>{_inline(part)}</p>" for part in re.split(r"\n\s*\n", text.strip()) if part)


def _inline(text: str) -> str:
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", found)


def _path(one: _Operation) -> str:
    """Return the path, which may break after a slash."""
    return escape(one.path).replace("/", "/<wbr>")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
