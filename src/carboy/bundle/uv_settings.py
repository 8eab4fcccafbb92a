"""Read where uv takes a project's packages from: `uv.toml`, or `tool.uv` of `pyproject.toml`.

Source: uv's documentation, "Configuration files" and "Package indexes".
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carboy.bundle.lines import Line


def uv_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of uv that count in a folder: those of the nearest file, its own or a parent's."""
    for place in (folder, *folder.parents):
        for name in ("uv.toml", "pyproject.toml"):
            if not (place / name).is_file():
                continue
            document = tomllib.loads((place / name).read_text("utf-8"))
            found = document if name == "uv.toml" else document.get("tool", {}).get("uv")
            if found is not None:
                return dict(found)
    return {}


def has_default_index(settings: Mapping[str, Any]) -> bool:
    """Return whether these settings replace PyPI, so that a mirror of it has no say."""
    named = {"index-url", "no-index"} & {*settings, *settings.get("pip", {})}
    return bool(named) or any(index.get("default") for index in settings.get("index", []))


def names_indexes(settings: Mapping[str, Any]) -> bool:
    """Return whether these settings say where packages come from."""
    named = {"index-url", "extra-index-url", "find-links", "no-index"} & {*settings, *settings.get("pip", {})}
    return bool(named) or any(not index.get("explicit") for index in settings.get("index", []))


def index_lines(settings: Mapping[str, Any], folder: Path) -> list[Line]:
    """Return the indexes for packages that name none as options of a requirements file.

    Args:
        settings: of uv.
        folder: of the file that holds them, for relative paths.
    """
    options: list[tuple[str, str]] = []
    for index in settings.get("index", []):
        if not index.get("explicit"):
            usual = "--index-url" if index.get("default") else "--extra-index-url"
            options.append(("--find-links" if index.get("format") == "flat" else usual, index["url"]))
    options += [("--index-url", settings["index-url"])] if "index-url" in settings else []
    options += [("--extra-index-url", url) for url in settings.get("extra-index-url", [])]
    options += [("--find-links", url) for url in settings.get("find-links", [])]
    lines = [Line(f"{option} {url if '://' in url else (folder / url).resolve()}") for option, url in options]
    return lines + [Line("--no-index")] * bool(settings.get("no-index"))
