"""Sanitize names, keys and values: X-Ray drops documents that have other characters.

Source: AWS X-Ray developer guide, "X-Ray segment documents".
"""

import re
from functools import lru_cache

from carboy.redact import MASK, is_secret_name, mask_text

_MAX_NAME, _MAX_VALUE = 200, 1000
_NOT_IN_A_NAME = re.compile(r"[^\w .:/%&#=+\\\-@]+")
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_]+")


@lru_cache(maxsize=1024)
def clean_name(name: str) -> str:
    """Return a name of at most 200 characters, with `_` for those that X-Ray does not accept."""
    return _NOT_IN_A_NAME.sub("_", name).strip()[:_MAX_NAME] or "unnamed"


@lru_cache(maxsize=1024)
def clean_key(key: str) -> str:
    """Return an annotation's key: letters, digits and underscores."""
    return _NOT_IN_A_KEY.sub("_", key)[:_MAX_NAME]


def clean_value(key: str, value: object) -> str | int | float | bool:
    """Return an annotation's value: a boolean or a number as it is, else text of at most 1,000 characters.

    What is kept under a name that sounds secret is masked.
    """
    if isinstance(value, bool):
        return value
    if is_secret_name(key):
        return MASK
    if isinstance(value, float) and abs(value) < 1e300:
        return float(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    return show(value, _MAX_VALUE)


def clean_text(text: str) -> str:
    """Return a text without lone surrogates, which UTF-8 cannot carry: bytes in a file's name."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def show(value: object, max_chars: int) -> str:
    """Return a value as text, what is secret in it masked; one that cannot be shown, as the name of its type."""
    try:
        return clean_text(mask_text(str(value)[: 4 * max_chars])[:max_chars])
    except Exception:  # noqa: BLE001 - whatever its class does
        return f"<{type(value).__qualname__}>"
