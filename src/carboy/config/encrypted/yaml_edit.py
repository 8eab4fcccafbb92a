"""Write a file's new text from its old text and its new values; the result is parsed again and compared.

Where only scalars and the top entries change, the text around them is not touched. Where keys come or go, ruamel.yaml
writes the document again with its comments.
"""

import difflib
import io
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from carboy.config.encrypted.key_paths import Path
from carboy.config.encrypted.scalars import render_scalar, scalar_of
from carboy.config.encrypted.yaml_document import Document, parse_document, replace_scalars
from carboy.errors import ConfigurationError
from carboy.extras import extra


def write_config(
    base: Document, tree: Mapping[str, object], values: Mapping[Path, str], seals: object, form: int
) -> str:
    """Return the text of a closed file.

    Args:
        base: the document whose text, comments and order are kept.
        tree: what the file must say, `format` and `seal` left out.
        values: the secrets' texts; their paths start with `config`.
        seals: the `seal` part; nothing is written when it is empty.
        form: 1 for Fleece's form, 2 for the sealed one.
    """
    expected: dict[str, object] = dict(tree)
    if form == 2:
        expected = {"format": 2, **expected, **({"seal": seals} if seals else {})}
    if base.is_json:
        return dump_json(expected)
    nodes = base.nodes()
    if all(path in nodes and isinstance(nodes[path][1].value, str) for path in values):
        text = replace_scalars(base, values, _write_secret)
        text = cut_top(text, base.source, ("format", "seal"))
        if form == 2:
            text = _add_top(text, seals)
        if _says(text, expected):
            return text
    return merge_into(base.text, expected, base.source)


def _write_secret(text: str, indent: int | None) -> str:
    return json.dumps(text) if text.startswith(":sealed:") else render_scalar(text, indent=indent)


def _says(text: str, expected: object) -> bool:
    try:
        return same(parse_document(text, "").tree, expected)
    except ConfigurationError:
        return False


def same(one: object, other: object) -> bool:
    """Return whether two values are equal, types and keys' types included; the order of keys is free."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = {(type(key) is bool, key): value for key, value in one.items()}
        return len(one) == len(other) and all(
            (type(key) is bool, key) in keys and same(keys[type(key) is bool, key], value)
            for key, value in other.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return _kind(one) is _kind(other) and (one == other or (one != one and other != other))  # noqa: PLR0124 (NaN)


def _kind(value: object) -> type:
    return next((kind for kind in (bool, int, float, str, dict, list) if isinstance(value, kind)), type(None))


# Top entries


def cut_top(text: str, source: str, names: Iterable[str]) -> str:
    """Return a YAML text without some entries of its root; what is around them stays as it is."""
    document = parse_document(text, source)
    root, found = document.root, document.tree
    removed = [(key, value) for key, value in getattr(root, "value", ()) if key.value in names]
    if not removed or not isinstance(found, dict):
        return text
    kept = {key: value for key, value in found.items() if key not in names}
    cut = text
    if not root.flow_style:
        for key, value in reversed(removed):
            start = text.rfind("\n", 0, key.start_mark.index) + 1
            end = text.find("\n", max(key.end_mark.index, _content_end(text, value)))
            cut = cut[:start] + ("" if end < 0 else cut[end + 1 :])
    if not root.flow_style and _says(cut, kept):
        return cut
    return merge_into(text, kept, source)


def _content_end(text: str, node: Any) -> int:
    """Return where a node's own text ends; a block mapping's mark lies behind the comments that follow it."""
    if isinstance(node.value, str) or node.flow_style or not node.value:
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        return start + len(text[start:end].rstrip())
    last = node.value[-1]
    return max(_content_end(text, part) for part in (last if isinstance(last, tuple) else (last,)))


def _add_top(text: str, seals: object) -> str:
    """Return a YAML text with `format` before its first key and `seal` at its end."""
    root = parse_document(text, "").root
    if root is None or getattr(root, "flow_style", True) or not root.value:
        return text
    first = root.value[0][0].start_mark
    pad = " " * first.column
    line = text.rfind("\n", 0, first.index) + 1
    text = f"{text[:line]}{pad}format: 2\n{text[line:]}"
    if not seals:
        return text
    added = "".join(pad + line + "\n" for line in dump_yaml({"seal": seals}).splitlines())
    return text + ("" if text.endswith("\n") else "\n") + added


# Documents


@cache
def _dumper() -> type[Any]:
    with extra("config"):
        import yaml
    base = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[valid-type,misc]
        def ignore_aliases(self, data: object) -> bool:
            return True

    def represent_text(dumper: Any, text: str) -> Any:
        style = None
        if "\n" in text:
            style = "|" if re.fullmatch(r"[^\s\x00-\x1f][^\x00-\x09\x0b-\x1f\x7f-\xa0]*", text) else '"'
        elif text[:1] in "0123456789+-." and scalar_of(text) != text:
            style = "'"  # a number in YAML 1.2, but not in 1.1
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, represent_text)
    return Dumper


def dump_yaml(tree: object) -> str:
    """Return plain values as YAML that versions 1.1 and 1.2 read alike."""
    with extra("config"):
        import yaml
    return str(
        yaml.dump(
            tree, Dumper=_dumper(), sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
        )
    )


def dump_json(tree: object, indent: int | None = 4) -> str:
    """Return plain values as JSON.

    Raises:
        ConfigurationError: JSON cannot have it: two keys become one text, or a number is not finite.
    """
    clashes = list(_clashing_keys(tree, ()))
    if clashes:
        raise ConfigurationError(
            "the values cannot be written as JSON",
            f"keys that differ become the same text: {', '.join(clashes)}",
            "write YAML, or rename one of each two",
        )
    try:
        separators = (",", ":") if indent is None else None
        return json.dumps(tree, indent=indent, ensure_ascii=False, allow_nan=False, separators=separators) + (
            "" if indent is None else "\n"
        )
    except ValueError:
        raise ConfigurationError(
            "the values cannot be written as JSON", "a number is infinite or not a number", "write YAML, or change it"
        ) from None


def _key_text(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def _clashing_keys(node: object, path: tuple[str, ...]) -> Iterable[str]:
    if isinstance(node, dict):
        if len({_key_text(key) for key in node}) < len(node):
            yield ".".join(path) or "the top"
        for key, value in node.items():
            yield from _clashing_keys(value, (*path, _key_text(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _clashing_keys(value, (*path, str(index)))


def adopt_keys(new: Any, old: Any) -> Any:
    """Return values that were JSON, with the keys that are numbers or booleans in the older ones as they were."""
    if isinstance(new, dict) and isinstance(old, dict):
        typed = {_key_text(key): key for key in old if not isinstance(key, str) and _key_text(key) not in old}
        return {typed.get(key, key): adopt_keys(value, old.get(typed.get(key, key))) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        pairs = [*old, *[None] * len(new)]
        return [adopt_keys(value, before) for value, before in zip(new, pairs, strict=False)]
    return new


def merge_into(text: str, tree: object, source: str) -> str:
    """Return a YAML text that says what `tree` says, with the comments and the order of the older text.

    Raises:
        ConfigurationError: it could not be written so that it reads back the same.
    """
    with extra("config"):
        from ruamel.yaml import YAML
        from ruamel.yaml.constructor import RoundTripConstructor
        from ruamel.yaml.error import YAMLError
        from ruamel.yaml.util import load_yaml_guess_indent

    class Constructor(RoundTripConstructor):
        """Takes dates as text."""

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
    yaml = YAML()
    yaml.Constructor = Constructor
    yaml.preserve_quotes, yaml.width = True, 1_000_000
    yaml.explicit_start = bool(re.search(r"^---(\s|$)", text, re.MULTILINE))
    try:
        _, indent, offset = load_yaml_guess_indent(text)
        yaml.indent(sequence=indent, offset=offset)
        data = yaml.load(text)
        _merge_mapping(data, tree)
        written = io.StringIO()
        yaml.dump(data, written)
        if _says(written.getvalue(), tree):
            return written.getvalue()
    except (YAMLError, KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError):
        pass
    raise ConfigurationError(
        f"`{source}` cannot be written",
        "its layout (aliases, or flow style) cannot take this change so that it reads back the same",
        "make the change with `carboy config edit`, with simpler YAML",
    )


def _merge_mapping(old: Any, new: Any) -> None:
    for key in [key for key in old if key not in new]:
        del old[key]
    for key, value in new.items():
        if key not in old:
            old[key] = _rich(value)
        elif not same(old[key], value):
            old[key] = _merged(old[key], value)


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict) and old and new:
        _merge_mapping(old, new)
        return old
    if isinstance(old, list) and isinstance(new, list) and old and new:
        _merge_list(old, new)
        return old
    return _rich(new)


def _merge_list(old: Any, new: list[Any]) -> None:
    before, after = ([json.dumps(item, default=str) for item in items] for items in (old, new))
    for kind, i, j, k, m in reversed(difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()):
        if kind == "replace" and j - i == m - k:
            for at in range(j - i):
                old[i + at] = _merged(old[i + at], new[k + at])
        elif kind != "equal":
            del old[i:j]
            for value in reversed(new[k:m]):
                old.insert(i, _rich(value))


def _rich(value: Any) -> Any:
    """Return a value as ruamel.yaml writes it best: sealed text in double quotes, several lines as a block."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    if isinstance(value, dict):
        from ruamel.yaml.comments import CommentedMap

        return CommentedMap((key, _rich(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_rich(item) for item in value]
    if isinstance(value, str):
        if "\n" in value.rstrip("\n") and render_scalar(value, indent=0).startswith("|"):
            return LiteralScalarString(value)
        if value.startswith(":sealed:") or scalar_of(value) != value:
            return DoubleQuotedScalarString(value)
    return value
