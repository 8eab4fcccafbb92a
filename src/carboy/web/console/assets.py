"""The stylesheet, the script and the icon, under names that carry their hash so that browsers keep them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file as it is served."""

    body: bytes
    content_type: str


@cache
def _assets() -> dict[str, tuple[str, Asset]]:
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            name = f"{path.stem}.{hashlib.sha256(body).hexdigest()[:10]}{path.suffix}"
            found[path.name] = name, Asset(body, _TYPES[path.suffix])
    return found


def asset_name(file: str) -> str:
    """Return the name under which a file is served."""
    return _assets()[file][0]


def find_asset(name: str) -> Asset | None:
    """Return what is served under a name; None where there is nothing."""
    return next((asset for served, asset in _assets().values() if served == name), None)
