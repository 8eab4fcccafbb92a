"""Render the console's pages: the Jinja environment's filters and functions, and the headers of every page."""

import math
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, g, make_response, redirect, render_template, request, url_for
from markupsafe import Markup, escape

from carboy.clock import from_unix_ms
from carboy.http_values import parse_query_time
from carboy.web.console.access import csrf_token, has_scope
from carboy.web.console.assets import asset_name
from carboy.web.console.forms import left_out
from carboy.web.console.languages import COOKIE, LANGUAGES, choose_language, translations
from carboy.web.runtime import runtime

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every page."""

_MAX_TREE = 2000
_NO_FILTER = {"form", "cursor", "lang"}


def render_page(template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a page made from a template, which extends `console/layout.html`."""
    response = make_response(render_template(template, **values), status)
    response.headers.update(HEADERS)
    response.vary.update(["Accept", "Accept-Language", "Cookie"])
    return response


def go_to_page(endpoint: str, **values: Any) -> Response:
    """Return a redirect to a view of the console after an action."""
    response: Any = redirect(url_for(endpoint, **values), 303)
    return response  # type: ignore[no-any-return]


def show_notice(text: str, /, **params: object) -> None:
    """Show a notice on the next page; the text is marked for translation, `params` fill its `%(name)s`."""
    g.notice = translate(text, **params)


def language() -> str:
    """Return the language of the current request."""
    found: str | None = g.get("language")
    if found is None:
        asked = request.args.get("lang") or request.cookies.get(COOKIE)
        found = g.language = choose_language(list(request.accept_languages), asked)
    return found


def translate(text: str, /, **params: object) -> str:
    """Return a text in the language of the request, its `%(name)s` filled."""
    from flask import current_app

    folders: tuple[Any, ...] = current_app.config.get("TRANSLATIONS", ())
    found = translations(language(), folders).gettext(text) if text else ""
    return found % params if params else found


def set_up(app: Flask, pages: Sequence[Any]) -> None:
    """Give an application's Jinja environment what the templates of the console use."""
    env = app.jinja_env
    env.trim_blocks = env.lstrip_blocks = True
    env.globals.update(
        _=translate, language=language, languages=LANGUAGES, has_scope=has_scope, csrf_token=csrf_token, tree=json_tree,
        asset=lambda file: url_for("console.asset", name=asset_name(file)), navigation=lambda: _navigation(pages),
        same=_same_page, notice=_notice, left_out=left_out, download_url=_download_url, has_docs=_has_docs,
        is_filtered=_is_filtered, fact_text=_fact_text, profile=lambda: str(runtime().settings.profile),
        service=lambda: runtime().title,
    )  # fmt: skip
    env.filters.update(
        when=when, number=number, size=size, ago=ago, duration=duration, percent=percent, amount=amount
    )  # fmt: skip


def when(at_ms: int | str | None) -> Markup:
    """Return a time, in milliseconds or as RFC 3339 has it, as an element.

    It is in UTC; the script shows it in the reader's zone, with UTC as its title.
    """
    if isinstance(at_ms, str):
        at_ms = parse_query_time(at_ms)
    if at_ms is None:
        return Markup('<span class="quiet">–</span>')
    try:
        at = from_unix_ms(at_ms)
    except (OverflowError, ValueError):
        return escape(str(at_ms))
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{} UTC</time>').format(iso, iso, f"{at:%Y-%m-%d %H:%M:%S}")


def number(value: float | None) -> str:
    """Return a count with its thousands apart; an ellipsis for one that is not known yet."""
    return "…" if value is None else f"{value:,}".replace(",", "\u202f")


def percent(part: float | None) -> str:
    """Return a part of 1 as a percentage."""
    return "–" if part is None else f"{part * 100:.1f}\u202f%"


def amount(value: float | None) -> str:
    """Return an amount of money, in the currency of the prices."""
    if value is None:
        return "–"
    text = f"{value:,.2f}" if value >= 1 else f"{value:.4f}".rstrip("0").rstrip(".")
    return text.replace(",", "\u202f")


def size(value: int | None) -> str:
    """Return a number of bytes with its unit."""
    if value is None:
        return "–"
    units = ("B", "kB", "MB", "GB")
    power = min(3, int(math.log(value, 1000))) if value > 0 else 0
    return f"{value / 1000**power:.{1 if power else 0}f} {units[power]}"


def duration(value_s: float | None) -> str:
    """Return a duration in its two largest units, such as `3 min 20 s`."""
    if value_s is None:
        return "–"
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    left = round(value_s)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length and len(parts) < 2:
            parts.append(translate(f"%(count)s {unit}", count=left // length))
            left %= length
        elif parts:
            break
    return " ".join(parts) or translate("%(count)s s", count=0)


def ago(at_ms: int | None) -> str:
    """Return how long ago a time is."""
    if at_ms is None:
        return "–"
    return duration(max(0.0, (runtime().clock.now_ms() - at_ms) / 1000))


def json_tree(value: Any, depth: int = 2) -> Markup:
    """Return decoded JSON as foldable lists, at most 2,000 nodes of them; everything in it is text.

    Args:
        value: what was decoded.
        depth: so many levels are unfolded.
    """
    left = [_MAX_TREE]
    return Markup('<div class="tree">{}</div>').format(_node(value, depth, left))


def _node(value: Any, depth: int, left: list[int]) -> Markup:
    left[0] -= 1
    if left[0] < 0:
        return Markup('<span class="quiet">…</span>')
    if isinstance(value, dict | list) and value:
        pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        items = [_item(key, one, depth - 1, left) for key, one in pairs if left[0] >= 0]
        return Markup("<ul>{}</ul>").format(Markup("").join(items))
    kind, text = _scalar(value)
    return Markup('<span class="v {}">{}</span>').format(kind, text)


def _item(key: Any, value: Any, depth: int, left: list[int]) -> Markup:
    inner = _node(value, depth, left)
    name = Markup('<span class="k">{}</span>').format(key)
    if not (isinstance(value, dict | list) and value):
        return Markup("<li>{} {}</li>").format(name, inner)
    count = f"{{{len(value)}}}" if isinstance(value, dict) else f"[{len(value)}]"
    is_open = Markup(" open") if depth >= 0 else Markup("")
    return Markup('<li><details{}><summary>{} <span class="quiet">{}</span></summary>{}</details></li>').format(
        is_open, name, count, inner
    )


def _scalar(value: Any) -> tuple[str, str]:
    match value:
        case None:
            return "null", "null"
        case bool():
            return "bool", "true" if value else "false"
        case int() | float():
            return "num", str(value)
        case dict():
            return "null", "{}"
        case list():
            return "null", "[]"
    return "str", str(value)


def _download_url(endpoint: str, form: str) -> str:
    """Return the address of a download with the filter of this page."""
    fields = [(name, value) for name, value in request.args.items(multi=True) if value and name not in _NO_FILTER]
    return f"{url_for(endpoint, form=form)}{'?' if fields else ''}{urlencode(fields)}"


def _is_filtered() -> bool:
    return any(value and name not in _NO_FILTER for name, value in request.args.items(multi=True))


def _has_docs() -> bool:
    """Return whether the reading page of the API is at this address."""
    current = runtime()
    return not current.web.console_bind and any(rule.rule == "/docs" for rule in current.app.url_map.iter_rules())


def _same_page(**changes: Any) -> str:
    """Return the address of this page with other query fields; None takes one out."""
    kept = [(name, value) for name, value in request.args.items(multi=True) if value and name not in changes]
    kept += [(name, value) for name, value in changes.items() if value is not None]
    return request.script_root + request.path + (f"?{urlencode(kept)}" if kept else "")


def _notice() -> str:
    found: str | None = g.pop("notice_shown", None)
    return found or ""


def _fact_text(fact: Any) -> str:
    """Return the value of a fact in the language of the request; `age_s` among its parameters is `age` in words."""
    params: dict[str, Any] = {
        name: translate(one) if isinstance(one, str) else one for name, one in fact.params.items()
    }
    if "age_s" in params:
        params["age"] = duration(params.pop("age_s"))
    return translate(fact.value, **params)


def _navigation(pages: Sequence[Any]) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Return the headings of the navigation, each with the label and address of its pages, and which one is open."""
    groups: dict[str, list[tuple[str, str, bool]]] = {}
    for name, page in pages:
        if has_scope(page.scope):
            href = url_for("console.overview") if name == "overview" else f"{request.script_root}/console/{name}"
            is_home = name == "overview" and request.endpoint == "console.overview"
            is_here = is_home or request.blueprint == name
            groups.setdefault(page.group, []).append((page.label, href, is_here))
    return list(groups.items())
