"""`.env.example`: every setting that a service knows, from the declarations, each line a comment until it is wanted."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from carboy.config import REQUIRED, BaseSettings, Derived, Setting, read_sources, render, settings_of
from carboy.serve import ServeSettings
from carboy.web import settings_parts

_HEAD = """\
# Copy it to .env, which git ignores, and set what differs on this machine. A secret may be a reference:
# SECRET_KEY=aws-secretsmanager:/prod/orders#secret_key, or file:/run/secrets/secret_key
# FLASK_PROFILE=local
"""


def render_dotenv(modules: Sequence[str]) -> str:
    """Return the file for a service with these modules of Carboy's.

    Raises:
        MissingExtra: a module's libraries are not installed.
    """
    known = [name for name in modules if name.startswith("carboy.")]
    with tempfile.TemporaryDirectory() as empty:
        sources = read_sources(folder=Path(empty), environ={}, overrides={"MODULES": known})
        parts = settings_parts(sources)
    lines = [_HEAD]
    for part in (BaseSettings, *parts, ServeSettings):
        items = [item for item in settings_of(part) if not item.is_table and item.name != "MODULES"]
        if items:
            lines += [f"# -- {items[0].part}", *_lines(items), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(items: Sequence[Setting]) -> Iterator[str]:
    texts = [(f"# {item.name}={_default(item)}", item) for item in items]
    for text, item in texts:
        unit = f", {item.unit}" if item.unit else ""
        choices = f": {', '.join(item.choices)}" if item.choices else ""
        yield f"{text:<40}  # {item.help}{unit}{choices}"


def _default(item: Setting) -> str:
    if item.default is REQUIRED or isinstance(item.default, Derived) or item.default in (None, (), [], {}):
        return ""
    text = render(item.default)
    return ",".join(map(str, text)) if isinstance(text, list) else str(text)
