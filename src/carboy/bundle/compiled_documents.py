"""Lay a copy of each OpenAPI document beside it that is quick to load: a read-only disk cannot keep one later."""

import re
from contextlib import suppress
from pathlib import Path, PurePosixPath

from carboy.bundle.options import Chosen, Entry
from carboy.errors import ConfigurationError, MissingExtra

_SUFFIXES = (".yaml", ".yml", ".json")
_LOOKS_LIKE_ONE = re.compile(rb"""^\s*\{?\s*["']?(openapi|swagger)["']?\s*:""", re.MULTILINE)
_BEGIN = 4096
"""Bytes in which a document says what it is."""


def prepared(chosen: Chosen) -> Chosen:
    """Return the copies; none of a document that is not well formed or has no copy: that is read as it is."""
    copies: Chosen = []
    for file, entry in chosen:
        if isinstance(file, Path) and entry.path.endswith(_SUFFIXES) and _is_one(file):
            with suppress(ConfigurationError, MissingExtra, TypeError):
                from carboy.api import prepare_document

                name, copy = prepare_document(file)
                path = str(PurePosixPath(entry.path).parent / name)
                copies.append((copy, Entry(path, len(copy), f"a quick copy of {entry.path}", entry.package)))
    return copies


def _is_one(file: Path) -> bool:
    with file.open("rb") as opened:
        return _LOOKS_LIKE_ONE.search(opened.read(_BEGIN)) is not None
