"""Where a value stands in a document: typed key paths, their bytes, and how people write them.

A list's index is not a key, the number 1 is not the text "1", and `a:b` is not `a` then `b`: the bytes of
a path differ, because a sealed value is bound to them.
"""

from collections.abc import Callable, Iterator, Mapping
from struct import pack
from typing import Any, TypeAlias

from carboy.http_values import parse_pointer


class Index(int):
    """A place in a list, as opposed to a key that is a number."""

    __slots__ = ()


Step: TypeAlias = str | int | float | bool
Path: TypeAlias = tuple[Step, ...]


def length_prefixed(*parts: bytes) -> bytes:
    """Return the parts joined so that no two different lists of parts give the same bytes."""
    return b"".join(pack(">I", len(part)) + part for part in parts)


def encode(path: Path) -> bytes:
    """Return the bytes that stand for a path, different for every different path."""
    return length_prefixed(*map(_encode_step, path))


def _encode_step(step: Step) -> bytes:
    if isinstance(step, str):
        return b"k" + step.encode()
    if isinstance(step, Index):
        return b"i%d" % step
    return (b"b" if isinstance(step, bool) else b"n") + repr(step).encode()


def show(path: Path) -> str:
    r"""Return a path as people write it: `nested.a_list.0.name`, a dot inside a key written `\.`."""
    return ".".join(map(_show_step, path))


def _show_step(step: Step) -> str:
    text = str(step)
    return text if text.startswith("+") else text.replace("\\", "\\\\").replace(".", "\\.")


def parse(text: str) -> list[str]:
    r"""Return the steps that a person wrote, all as text: dots part them, `\.` is a dot within a key.

    A text that starts with `/` is read as a JSON pointer (RFC 6901).
    """
    if text.startswith("/"):
        return list(parse_pointer(text))
    steps, current, escaped = [], "", False
    for character in text:
        if escaped or character not in "\\.":
            current, escaped = current + character, False
        elif character == "\\":
            escaped = True
        else:
            steps.append(current)
            current = ""
    return [*steps, current]


def map_leaves(node: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """Return a copy of mappings and lists, each other value in them replaced by what `change` makes of it."""
    if isinstance(node, dict):
        return {key: map_leaves(value, change, (*path, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [map_leaves(value, change, (*path, Index(index))) for index, value in enumerate(node)]
    return change(path, node)


def filled(node: Any, texts: Mapping[Path, str]) -> Any:
    """Return a copy of values with the texts of some paths put in."""
    return map_leaves(node, texts.get)


def leaves(node: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Give every value that is not a filled mapping or list, with its path."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from leaves(value, (*path, Index(index)))
    else:
        yield path, node
