"""Read a YAML or JSON document into plain values, and put new values into its text.

YAML is read by PyYAML's C parser, its scalars as version 1.2 has them.
Every scalar keeps its place in the text, so that a value is replaced without touching anything around it:
comments, order and layout stay. What the values mean is left to `structure`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from carboy.config.encrypted.key_paths import Index, Path, Step, show
from carboy.config.encrypted.scalars import scalar_of
from carboy.errors import ConfigurationError, Fault
from carboy.extras import extra
from carboy.nesting import is_deeper
from carboy.yaml12 import PLAIN, TAG, TooDeep, make_loader

MAX_DEPTH = 100  # levels of nesting; a person's file has fewer than ten
_MAX_NODES = 1_000_000  # values, those that aliases repeat counted each time


@dataclass(slots=True)
class Document:
    """A document's text, its plain values, and where each stands.

    Attributes:
        source: its name in messages.
        text: what was read.
        is_json: whether the text is JSON (YAML otherwise).
        tree: mappings, lists, text, numbers, booleans and None.
    """

    source: str
    text: str
    is_json: bool
    tree: object
    root: Any = field(repr=False, default=None)
    _nodes: dict[Path, tuple[Any, Any]] | None = field(repr=False, default=None)

    def line(self, path: Path) -> int | None:
        """Return the line (from 1) where the entry of a path starts; None where that is not known."""
        nodes = self.nodes()
        for length in range(len(path), -1, -1):
            if path[:length] in nodes:
                key, value = nodes[path[:length]]
                return int((key or value).start_mark.line) + 1
        return None

    def fault(self, path: Path, detail: str, shown: str) -> Fault:
        """Return a fault at a path of this document: file, line and key path."""
        line = self.line(path)
        return Fault(f"{self.source}:{line}: {shown}" if line else f"{self.source}: {shown}", detail)

    def nodes(self) -> Mapping[Path, tuple[Any, Any]]:
        """Return for each path the nodes of its key and value; nothing for JSON."""
        if self._nodes is None:
            self._nodes = dict(_places(self.root)) if self.root is not None else {}
        return self._nodes


def parse_document(data: bytes | str, source: str) -> Document:
    """Parse a YAML or JSON document; the two are distinguished by parsing.

    Args:
        data: the text, in UTF-8 when it is bytes.
        source: its name in messages.

    Raises:
        ConfigurationError: it cannot be read; every fault is listed with its line.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _unreadable(source, [Fault(source, f"not UTF-8 from byte {error.start} on")]) from None
    if not text.strip():
        raise _unreadable(source, [Fault(source, "there is nothing in it")])
    faults: list[Fault] = []
    is_json, tree = _parse_json(text, source, faults)
    root = None
    if not is_json:
        root, text = _compose(text, source)
        tree = _Builder(source, faults).build(root, 0)
    if not faults:
        faults = [Fault(source, "a text in it is not valid Unicode (half of a surrogate pair)")] * _has_surrogates(tree)
    if faults:
        raise _unreadable(source, faults)
    return Document(source, text, is_json, tree, root)


def _unreadable(source: str, faults: list[Fault]) -> ConfigurationError:
    return ConfigurationError(
        f"`{source}` cannot be read",
        "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:20]),
        "correct the file; it must be YAML or JSON with text keys, and values that JSON has as well",
        faults,
    )


def _has_surrogates(tree: object) -> bool:
    try:
        json.dumps(tree, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


# JSON


def _parse_json(text: str, source: str, faults: list[Fault]) -> tuple[bool, object]:
    repeated: list[str] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) < len(items):
            keys = [key for key, _ in items]
            repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return made

    def refuse(constant: str) -> float:
        faults.append(Fault(source, f"`{constant}` is not a number that JSON has"))
        return math.nan

    if is_deeper(text.encode(errors="surrogatepass"), MAX_DEPTH):
        return False, None  # it is no JSON, or too deep for its parser, as YAML says with the line
    try:
        tree = json.loads(text, object_pairs_hook=pairs, parse_constant=refuse)
    except (ValueError, RecursionError):
        faults.clear()
        return False, None
    faults += [Fault(source, f"the key `{key}` stands twice in one mapping") for key in repeated]
    return True, tree


# YAML


def _too_deep(source: str, line: int) -> Fault:
    return Fault(f"{source}:{line}", f"nested deeper than {MAX_DEPTH} levels")


_FLOW_SECRET = re.compile(r"([:,\[{][ \t]*)(:(?:encrypt|decrypt):[^,\[\]{}\n#\"']*?)(?=[ \t]*[,\]}])")


def _compose(text: str, source: str) -> tuple[Any, str]:
    """Return a document's root node, and the text that its places count in.

    `{+a: :encrypt:b}` is YAML 1.2, which the C parser refuses: such secrets are put in quotes.
    """
    with extra("config"):
        import yaml
    first: Exception | None = None
    for form in (text, _FLOW_SECRET.sub(lambda found: found[1] + json.dumps(found[2], ensure_ascii=False), text)):
        try:
            return yaml.compose(form, Loader=make_loader(MAX_DEPTH)), form
        except TooDeep as error:
            raise _unreadable(source, [_too_deep(source, error.line)]) from None
        except yaml.YAMLError as error:
            first = first or error
    assert first is not None
    raise _unreadable(source, [_syntax_fault(source, first)]) from None


def _syntax_fault(source: str, error: Exception) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    problem = re.sub(r"b?'.*'", "…", problem, flags=re.DOTALL)  # what stands in quotes may be part of a secret
    return Fault(f"{source}:{mark.line + 1}" if mark else source, problem)


class _Builder:
    """Makes plain values of nodes, and collects what cannot be one."""

    def __init__(self, source: str, faults: list[Fault]) -> None:
        self.source, self.faults, self.count = source, faults, 0

    def _fault(self, node: Any, detail: str) -> None:
        self.faults.append(Fault(f"{self.source}:{node.start_mark.line + 1}", detail))

    def build(self, node: Any, depth: int) -> object:
        """Return a node's value; None where a fault was noted instead."""
        self.count += 1
        if depth > MAX_DEPTH or self.count > _MAX_NODES:
            if self.count < 2 * _MAX_NODES:  # once is enough
                self.count = 2 * _MAX_NODES
                line = node.start_mark.line + 1
                many = Fault(f"{self.source}:{line}", f"aliases repeat more than {_MAX_NODES:,} values")
                self.faults.append(_too_deep(self.source, line) if depth > MAX_DEPTH else many)
            return None
        if node is None:
            return None
        value = node.value
        if isinstance(value, str):
            return self._scalar(node, value)
        tag = str(node.tag)
        if isinstance(value, list) and tag == TAG + "seq":
            return [self.build(item, depth + 1) for item in value]
        if tag == TAG + "map":
            return self._mapping(node, depth)
        self._fault(node, f"a value of the type {_short(tag)} is not one that JSON has")
        return None

    def _scalar(self, node: Any, value: str) -> object:
        tag = node.tag if isinstance(node.tag, str) else str(node.tag)
        if tag == TAG + "str":
            return value
        if tag == PLAIN:
            return scalar_of(value)
        kind = tag.removeprefix(TAG)
        made = value if kind in {"timestamp", "value"} else scalar_of(value)
        kinds: dict[str, tuple[type, ...]] = {
            "null": (type(None),), "bool": (bool,), "int": (int,), "float": (float, int),
            "timestamp": (str,), "value": (str,),
        }  # fmt: skip
        if kind in kinds and isinstance(made, kinds[kind]):
            return float(made) if kind == "float" else made  # type: ignore[arg-type]
        self._fault(node, f"a value of the type {_short(tag)} is not one that JSON has; write text (base64, say)")
        return None

    def _mapping(self, node: Any, depth: int) -> dict[Step, object]:
        made: dict[Step, object] = {}
        merged: list[dict[Step, object]] = []
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                merged += self._merged(value_node, depth)
                continue
            key = self.build(key_node, depth + 1)
            if not isinstance(key, (str, int, float)) or key != key:  # noqa: PLR0124 (not a number)
                self._fault(key_node, "a key must be text, a number or a boolean")
                continue
            if key in made:
                self._fault(key_node, f"the key `{key}` stands twice in one mapping")
            made[key] = self.build(value_node, depth + 1)
        for mapping in merged:
            for key, value in mapping.items():
                made.setdefault(key, value)
        return made

    def _merged(self, node: Any, depth: int) -> list[dict[Step, object]]:
        built = self.build(node, depth + 1)
        values = built if isinstance(built, list) else [built]
        mappings = [value for value in values if isinstance(value, dict)]
        if len(mappings) == len(values):
            return mappings
        self._fault(node, "`<<` takes a mapping, or a list of them")
        return []


def _short(tag: str) -> str:
    return f"`!!{tag.removeprefix(TAG)}`" if tag.startswith(TAG) else "of a program's own (`!…`)"


def _is_merge(node: Any) -> bool:
    return node.value == "<<" and node.tag in {PLAIN, TAG + "merge"}


def _places(root: Any) -> Iterator[tuple[Path, tuple[Any, Any]]]:
    """Give every path with its key's node (None in a list, or where `<<` brought it) and its value's."""
    builder = _Builder("", [])

    def walk(key: Any, node: Any, path: Path) -> Iterator[tuple[Path, tuple[Any, Any]]]:
        yield path, (key, node)
        if len(path) > MAX_DEPTH or isinstance(node.value, str):
            return
        if node.tag == TAG + "seq":
            for index, item in enumerate(node.value):
                yield from walk(None, item, (*path, Index(index)))
            return
        own: set[object] = set()
        merges = []
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                merges.append(value_node)
            else:
                step = cast("Step", builder.build(key_node, 0))
                own.add(step)
                yield from walk(key_node, value_node, (*path, step))
        for merge in merges:
            for source in merge.value if merge.tag == TAG + "seq" else [merge]:
                for found in walk(None, source, path):
                    if len(found[0]) > len(path) and found[0][len(path)] not in own:
                        yield found

    yield from walk(None, root, ())


# Text


_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)*")  # an anchor or a tag before a scalar


def replace_scalars(document: Document, values: Mapping[Path, str], write: Callable[[str, int | None], str]) -> str:
    """Return a YAML document's text with the scalars at some paths replaced, and nothing else touched.

    Args:
        document: a YAML document.
        values: the new text of each path.
        write: makes the scalar of a text; its second argument is `render_scalar`'s indent.
    """
    nodes = document.nodes()
    cuts: dict[int, tuple[int, str, str]] = {}
    faults = []
    for path, value in values.items():
        key, node = nodes[path]
        start, end = node.start_mark.index, node.end_mark.index
        start += len(_PROPERTIES.match(document.text[start:end])[0])  # type: ignore[index]
        in_flow = any(getattr(nodes[path[:length]][1], "flow_style", False) for length in range(len(path)))
        column = key.start_mark.column if key is not None else node.start_mark.column - 2
        old = document.text[start:end]
        tail = old[len(old.rstrip()) :] if node.style in {"|", ">"} else ""
        made = end, write(value, None if in_flow else column) + tail, value
        if cuts.setdefault(start, made)[2] != value:
            faults.append(document.fault(path, "would differ from what an alias (`*`, `<<`) repeats", show(path)))
    if faults:
        raise ConfigurationError(
            f"`{document.source}` cannot be written",
            "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults),
            "write the value out in place of the alias",
            faults,
        )
    pieces, at = [], 0
    for start, (end, piece, _) in sorted(cuts.items()):
        pieces += [document.text[at:start], piece]
        at = end
    return "".join([*pieces, document.text[at:]])
