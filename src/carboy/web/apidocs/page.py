"""Render an OpenAPI document as one page to read: no assets from elsewhere, and whole without script."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from carboy.web.apidocs.schema_view import SchemaText, follow

__all__ = ["render_page"]

_FOLDER = Path(__file__).parent
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
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
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
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
    """Return the operations by their first tag, in the order of the tags."""
    groups: dict[str, list[_Operation]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tags = item[method].get("tags") or ["other"]
                groups.setdefault(tags[0], []).append(_Operation(path, method, item, item[method]))
    return {tag: operations for tag, operations in groups.items() if operations}


def _navigation(title: str, groups: Mapping[str, Sequence[_Operation]]) -> str:
    parts = [f'<nav aria-label="operations"><strong>{title}</strong>']
    parts.append('<input type="search" placeholder="Filter" aria-label="filter the operations" hidden>')
    for tag, operations in groups.items():
        links = "".join(
            f'<li><a href="#{one.anchor}"><span class="verb {one.method}">{one.method.upper()}</span>'
            f'<span class="path">{_path(one)}</span></a></li>'
            for one in operations
        )
        parts.append(f"<h2>{escape(tag)}</h2><ul>{links}</ul>")
    return "".join([*parts, "</nav>"])


def _header(document: Mapping[str, Any], title: str) -> str:
    info = document["info"]
    schemes = document.get("components", {}).get("securitySchemes", {})
    told = "".join(f"<li><code>{escape(name)}</code> {_scheme(one)}</li>" for name, one in schemes.items())
    told = f'<ul class="ways">{told}</ul>' if told else ""
    text = _prose(info.get("description", ""))
    return f"<header><h1>{title}</h1><p>Version {escape(str(info['version']))}</p>{text}{told}</header>"


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
    told = next((one.get("description", "") for one in document.get("tags", ()) if one["name"] == tag), "")
    lead = f'<div class="lead">{_prose(told)}</div>' if told else ""
    schemas = SchemaText(document)
    return f"<h2>{escape(tag)}</h2>{lead}" + "".join(_operation(document, schemas, one) for one in operations)


def _operation(document: Mapping[str, Any], schemas: SchemaText, one: _Operation) -> str:
    node = one.node
    gone = " gone" if node.get("deprecated") else ""
    return "".join(
        [
            f'<details class="op" id="{one.anchor}"><summary>',
            f'<span class="verb {one.method}">{one.method.upper()}</span>',
            f'<span class="path{gone}">{_path(one)}</span>',
            f'<span class="what">{escape(node.get("summary", ""))}</span></summary><div class="in">',
            _prose(node.get("description", "")),
            _security(node.get("security", ())),
            _parameters(document, schemas, one.parameters),
            _body(document, schemas, node.get("requestBody")),
            _answers(document, schemas, node.get("responses", {})),
            f"<h3>Try it</h3><pre><code>{escape(_curl(document, one))}</code></pre></div></details>",
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
        ways.append(" and ".join(named) or "nothing")
    return f"<h3>Who may call</h3><p>{' or '.join(ways)}</p>"


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
    parts = ["<h3>Answers</h3>"] if answers else []
    for status, given in answers.items():
        one = follow(document, given)
        parts.append(
            f'<details class="answer"><summary><span class="status">{escape(str(status))}</span>'
            f"{escape(one.get('description', ''))}</summary>{_content(schemas, one.get('content', {}))}</details>"
        )
    return "".join(parts)


def _content(schemas: SchemaText, content: Mapping[str, Any]) -> str:
    parts = []
    for kind, media in content.items():
        parts.append(f'<p class="type">{escape(kind)}</p>{schemas.render(media.get("schema", {}))}')
        parts += [f"<pre><code>{escape(_json(example))}</code></pre>" for example in _examples(media)]
    return "".join(parts)


def _curl(document: Mapping[str, Any], one: _Operation) -> str:
    """Return a line for the shell that calls an operation, with its first example."""
    words = ["curl"] if one.method == "get" else [f"curl -X {one.method.upper()}"]
    if any(way for way in one.node.get("security", ())):
        words.append('-H "Authorization: Bearer $CARBOY_KEY"')
    content = follow(document, one.node.get("requestBody") or {}).get("content", {})
    kind = next(iter(content), None)
    if kind is not None:
        words.append(f"-H 'Content-Type: {kind}'")
        example = next(_examples(content[kind]), None)
        quoted = _json(example, indent=None).replace("'", "'\\''")
        words.append(f"-d '{quoted}'" if example is not None else "-d @body")
    server = str((document.get("servers") or [{"url": "/"}])[0]["url"]).rstrip("/")
    words.append(f'"$CARBOY_URL{server}{one.path}"')
    return " \\\n  ".join(words)


def _examples(media: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for one in media.get("examples", {}).values():
        if "value" in one:
            yield one["value"]


def _json(value: Any, indent: int | None = 2) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)


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
