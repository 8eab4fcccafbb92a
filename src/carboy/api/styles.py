"""Take a serialised parameter apart, into a text, a list or a mapping of texts; what they mean is left to `typed`.

A text is decoded before it is split, as clients that encode every comma expect: an item cannot hold its own delimiter.

Source: OpenAPI 3.1.1, section 4.8.12.3 (style values) and appendix C.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

Form = Literal["primitive", "array", "object"]

DELIMITERS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|", "label": ",", "matrix": ","}

_KEY = re.compile(r"\[([^\[\]]*)\]")
_KEYS = re.compile(r"(?:\[[^\[\]]*\])+")


def splitter(style: str, explode: bool, form: Form, name: str, delimiter: str = "") -> Callable[[str], Any]:
    """Make the function that takes apart the one text of a parameter in a path, a header, a cookie or a query.

    Args:
        style: as in the document.
        explode: as in the document, its default applied.
        form: what the parameter's schema wants.
        name: the parameter's name, which stands in the text itself in the style `matrix`.
        delimiter: what stands between items, when the style does not say it.

    The function raises ValueError, with words for the sender, when the text is not of that style.
    """
    between = delimiter or DELIMITERS[style]
    if style == "label":
        return _label(explode, form)
    if style == "matrix":
        return _matrix(explode, form, name)
    if form == "primitive":
        return str
    if form == "array":
        return partial(_list, between=between, strip=style == "simple")
    return partial(_mapping, between=between, explode=explode)


def pairs(items: Iterable[str]) -> dict[str, str]:
    """Return the mapping of items such as `R=100`.

    Raises:
        ValueError: an item has no `=`, or a name is there twice.
    """
    result = []
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError("must be name=value pairs")
        result.append((key, value))
    return _unique(result)


def _unique(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    listed = list(items)
    found = dict(listed)
    if len(found) < len(listed):
        raise ValueError("must not have a name twice")
    return found


def is_deep_key(name: str, key: str) -> bool:
    """Return whether a key of a query is a part of a `deepObject` parameter: its name, then parts in brackets."""
    return key.startswith(name) and _KEYS.fullmatch(key, len(name)) is not None


def deep_object(
    name: str, given: Mapping[str, Sequence[str]], is_array: Callable[[tuple[str, ...]], bool], *, is_strict: bool
) -> Any:
    """Return the mapping (or list) that `name[a][b]=…` parameters spell, or None without such parameters.

    Args:
        name: the parameter's name.
        given: every parameter of the query.
        is_array: says whether the value at a path is a list; a list may also be spelt `name[a][]=…` or `name[a][0]=…`.
        is_strict: whether a value that is no list may be there once only; else the last one counts.

    Raises:
        ValueError: one is written both as a value and as an object, or more than once.
    """
    root: dict[str, Any] = {}
    for key, values in given.items():
        if not is_deep_key(name, key):
            continue
        path = _KEY.findall(key, len(name))
        node = root
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if type(node) is not dict:
                raise ValueError("is written both as a value and as an object")
        if type(node.get(path[-1])) is dict:
            raise ValueError("is written both as a value and as an object")
        node[path[-1]] = list(values)
    return _settle(root, (), is_array, is_strict) if root else None


def _settle(node: Any, path: tuple[str, ...], is_array: Callable[[tuple[str, ...]], bool], is_strict: bool) -> Any:
    """Turn a tree of texts into what the schema wants: lists of indexed keys, single texts elsewhere."""
    if type(node) is list:
        is_list = is_array(path) or (path[-1] == "" and is_array(path[:-1]))
        if is_strict and len(node) > 1 and not is_list:
            raise ValueError(f"has {''.join(f'[{part}]' for part in path)} more than once")
        return node if is_array(path) else node[-1]
    if not is_array(path) or not all(part == "" or part.isdecimal() for part in node):
        return {part: _settle(below, (*path, part), is_array, is_strict) for part, below in node.items()}
    found: list[Any] = []
    for part in sorted(node, key=lambda part: int(part[:9] or 0)):
        value = _settle(node[part], (*path, part), is_array, is_strict)
        if type(node[part]) is list and type(value) is str:
            found += node[part]  # `[]` several times
        else:
            found.append(value)
    return found


def _list(text: str, between: str, *, strip: bool = False) -> list[str]:
    parts = text.split(between) if text else []
    return [part.strip() for part in parts] if strip else parts


def _mapping(text: str, between: str, *, explode: bool) -> dict[str, str]:
    parts = text.split(between) if text else []
    if explode:
        return pairs(parts)
    if len(parts) % 2:
        raise ValueError("must be names and values in turn")
    return _unique(zip(parts[::2], parts[1::2], strict=True))


def _label(explode: bool, form: Form) -> Callable[[str], Any]:
    between = "." if explode else ","

    def split(text: str) -> Any:
        if not text.startswith("."):
            raise ValueError("must begin with a dot")
        if form == "array":
            return _list(text[1:], between)
        return _mapping(text[1:], between, explode=explode) if form == "object" else text[1:]

    return split


def _matrix(explode: bool, form: Form, name: str) -> Callable[[str], Any]:
    def split(text: str) -> Any:
        if not text.startswith(";"):
            raise ValueError("must begin with a semicolon")
        parts = text[1:].split(";")
        if form == "object" and explode:
            return pairs(parts) if text != ";" else {}
        values = []
        for part in parts:
            key, _, value = part.partition("=")
            if key != name:
                raise ValueError(f"must be written `;{name}=…`")
            values.append(value)
        if form == "primitive":
            return values[-1]
        if form == "array":
            return _list(values[0], ",") if not explode else [] if values == [""] else values
        return _mapping(values[0], ",", explode=False)

    return split
