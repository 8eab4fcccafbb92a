"""Mask what is secret in nested values."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from carboy.redact.secret import MASK, Secret
from carboy.redact.secret_names import is_secret_name
from carboy.redact.text import mask_text

_MAX_DEPTH = 32


def mask(value: Any) -> Any:
    """Return a copy of the value with what is secret in it masked, by name and by text, at any depth.

    Mappings become dicts, sequences and sets lists (a tuple stays one); anything else is returned as it is.
    """
    return _mask(value, 0)


def _mask(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Secret) or (depth >= _MAX_DEPTH and isinstance(value, (Mapping, Sequence, AbstractSet))):
        return MASK
    if isinstance(value, Mapping):
        return {
            mask_text(key) if isinstance(key, str) else key: _mask_named(key, item, depth)
            for key, item in value.items()
        }
    if is_secret_pair(value):
        pair = (_mask(value[0], depth + 1), _mask_named(value[0], value[1], depth))
        return pair if isinstance(value, tuple) else list(pair)
    if isinstance(value, tuple):
        names = getattr(value, "_fields", ())
        if isinstance(names, tuple) and len(names) == len(value):  # a named tuple, such as a database's row
            return tuple(_mask_named(name, item, depth) for name, item in zip(names, value, strict=True))
        return tuple(_mask(item, depth + 1) for item in value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    if isinstance(value, (Sequence, AbstractSet)):
        return [_mask(item, depth + 1) for item in value]
    return value


def is_secret_pair(value: Any) -> bool:
    """Return whether a value is a name that sounds secret and its value, as headers and cookies come in lists."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)) or len(value) != 2:
        return False
    name = value[0]
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    return isinstance(name, str) and not any(map(str.isspace, name)) and is_secret_name(name)


def _mask_named(key: Any, item: Any, depth: int) -> Any:
    if item is None or isinstance(item, bool):  # whether a secret is set is no secret
        return item
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return MASK if isinstance(key, str) and is_secret_name(key) else _mask(item, depth + 1)
