"""The page of the settings: a table for each part."""

import tempfile
from pathlib import Path
from typing import Any

from docs.tools.reference.tables import page, table

__all__ = ["render_settings"]


def render_settings() -> str:
    """Return the page of the settings: a table for each part."""
    from carboy.config import Setting, read_sources, settings_of
    from carboy.config.base import BaseSettings
    from carboy.serve import ServeSettings
    from carboy.web import settings_parts

    with tempfile.TemporaryDirectory() as empty:
        parts = settings_parts(read_sources(folder=Path(empty), environ={}))
    by_part: dict[str, list[Setting]] = {}
    for part in (BaseSettings, *parts, ServeSettings):
        for item in settings_of(part):
            by_part.setdefault(item.part, []).append(item)
    sections = []
    for name, items in by_part.items():
        rows = [(f"`{item.name}`", _default(item), _what(item)) for item in items]
        sections += [f"## {name}", table(("setting", "default", "what"), rows)]
    return page(
        "Settings",
        "Each name is an environment variable (also with `FLASK_` before it), a line of `.env`, a key of\n"
        "`app.config`, and in lower case an entry of `carboy.toml`.",
        *sections,
    )


def _default(item: Any) -> str:
    from carboy.config import REQUIRED, Derived, render
    from carboy.redact import Secret

    default = item.default.reveal() if isinstance(item.default, Secret) else item.default
    match default:
        case required if required is REQUIRED:
            return "required"
        case Derived(text=text):
            return f"`{text}`" if "<" in text else text
        case None | "" | () | []:
            return "–"
        case value:
            text = render(value)
            return f"`{', '.join(map(str, text)) if isinstance(text, list) else text}`"


def _what(item: Any) -> str:
    unit = f", {item.unit}" if item.unit else ""
    choices = f"; one of {', '.join(f'`{one}`' for one in item.choices)}" if item.choices else ""
    secret = "; secret" if item.is_secret else ""
    return f"{item.help}{unit}{choices}{_limits(item)}{secret}"


def _limits(item: Any) -> str:
    """Return the smallest and the largest value, where a reader would not expect them."""
    least = f"; at least {item.least:g}" if item.least else ""
    most = f"; at most {item.most:,g}" if item.most is not None else ""
    return least + most
