"""Bundle the files of a document into one: parts of other files become components of the first.

Afterwards every `$ref` names a component of the same document. Nothing is fetched from the network.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from carboy.api.document_errors import Faults
from carboy.api.model import Origin, Pointer
from carboy.api.walk import Kind, map_children, section_of, walk
from carboy.api.yaml_loader import Unreadable, read_text
from carboy.http_values import dig, parse_pointer, render_pointer

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_REFERABLE = frozenset(
    ("schema", "response", "parameter", "example", "requestBody", "header", "securityScheme", "link", "callback")
) | {"pathItem", "mediaType"}
_SUFFIXES = (".yaml", ".yml", ".json")


class _Spot(NamedTuple):
    """Where a node stands: its file, its place in it, and its place in the whole document."""

    file: str
    pointer: Pointer
    at: Pointer

    def below(self, parts: Pointer) -> "_Spot":
        return _Spot(self.file, self.pointer + parts, self.at + parts)


class Bundler:
    """Resolves the references of one document.

    Attributes:
        origins: where its parts were written.
        faults: what is wrong with the references.
        texts: the bytes of each file that was read, by its name.
    """

    def __init__(self, root: Any, file: str, faults: Callable[[dict[Pointer, Origin]], Faults]) -> None:
        self.origins: dict[Pointer, Origin] = {(): Origin(file, ())}
        self.faults: Faults = faults(self.origins)
        self.texts: dict[str, bytes] = {}
        self._root, self._file = root, file
        self._values: dict[str, Any] = {file: root}
        self._is_swagger_2 = "swagger" in root
        self._placed: dict[tuple[str, Pointer, Kind], Pointer] = {}
        self._pending: list[tuple[tuple[str, Pointer, Kind], Pointer]] = []
        self._taken: dict[Pointer, set[str]] = {}
        self._base = root["$self"] if isinstance(root.get("$self"), str) else ""
        self._by_name = _named_schemas(root)
        self._inlining: list[tuple[str, Pointer]] = []

    def bundle(self) -> dict[str, Any]:
        """Return the document with every reference pointing into itself."""
        content: dict[str, Any] = self._copy(self._root, "document", _Spot(self._file, (), ()))
        sections: dict[Pointer, dict[str, Any]] = {}
        while self._pending:  # copying one may place more
            (file, pointer, kind), place = self._pending.pop()
            if place[:-1] not in sections:
                sections[place[:-1]] = _own_section(content, place[:-1])
            node = dig(self._values[file], pointer)
            sections[place[:-1]][place[-1]] = self._copy(node, kind, _Spot(file, pointer, place))
        return content

    def _copy(self, node: Any, kind: Kind, spot: _Spot) -> Any:
        """Copy a node with its references rewritten to this document."""
        if not isinstance(node, dict):
            return node
        if kind == "schema" and "$id" in node:
            return node  # a schema resource of its own: its references are relative to its `$id`
        reference = node.get("$ref")
        if isinstance(reference, str) and kind in _REFERABLE:
            return self._copy_reference(node, reference, kind, spot)
        return self._copy_parts(node, kind, spot)

    def _copy_parts(self, node: dict[str, Any], kind: Kind, spot: _Spot) -> dict[str, Any]:
        result = map_children(kind, node, lambda below, inner, value: self._copy(value, inner, spot.below(below)))
        if kind == "schema" and isinstance(result.get("discriminator"), dict):
            result["discriminator"] = self._copy_discriminator(result["discriminator"], spot)
        return result

    def _copy_reference(self, node: dict[str, Any], reference: str, kind: Kind, spot: _Spot) -> Any:
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        target = self._target(reference, kind, spot.file, spot.pointer)
        if target is None:
            return node
        if kind == "pathItem" or section_of(kind, is_swagger_2=self._is_swagger_2) is None:
            return self._inline(target, siblings, kind, spot)
        place = self._place(*target, kind)
        rest = self._copy_parts(siblings, kind, spot) if siblings else {}
        return {"$ref": "#" + render_pointer(place), **rest}

    def _inline(self, target: tuple[str, Pointer], siblings: dict[str, Any], kind: Kind, spot: _Spot) -> Any:
        if target in self._inlining:
            self.faults.add_at(Origin(spot.file, spot.pointer), "the reference leads back to itself")
            return {}
        file, pointer = target
        self._inlining.append(target)
        self.origins[spot.at] = Origin(file, pointer)
        copied = self._copy(dig(self._values[file], pointer), kind, _Spot(file, pointer, spot.at))
        self._inlining.pop()
        for key in siblings:
            self.origins[*spot.at, key] = Origin(spot.file, (*spot.pointer, key))
        return {**copied, **self._copy_parts(siblings, kind, spot)} if isinstance(copied, dict) else copied

    def _copy_discriminator(self, node: dict[str, Any], spot: _Spot) -> dict[str, Any]:
        mapping = node.get("mapping")
        if not isinstance(mapping, dict):
            return node
        result = {}
        for value, reference in mapping.items():
            result[value] = reference
            if isinstance(reference, str) and ("#" in reference or "/" in reference or reference.endswith(_SUFFIXES)):
                pointer = (*spot.pointer, "discriminator", "mapping", value)
                target = self._target(reference, "schema", spot.file, pointer)
                if target is not None:
                    result[value] = "#" + render_pointer(self._place(*target, "schema"))
        return {**node, "mapping": result}

    def _target(self, reference: str, kind: Kind, file: str, pointer: Pointer) -> tuple[str, Pointer] | None:
        """Return the file and place that a reference names, or record why it cannot be found."""
        address, _, fragment = reference.partition("#")
        address = _relative_to(self._base, address) if file == self._file else address
        origin = Origin(file, (*pointer, "$ref"))
        if kind == "schema" and reference in self._by_name:
            return self._file, self._by_name[reference]
        if ":" in address.partition("/")[0] and not address.startswith("file://"):
            self.faults.add_at(origin, f"`{reference}` is elsewhere on the network; nothing is fetched")
            return None
        target = file if not address else self._open(unquote(address.removeprefix("file://")), file, origin)
        if target is None:
            return None
        try:
            place = parse_pointer(fragment, is_fragment=True)
            dig(self._values[target], place)
        except (KeyError, ValueError):
            self.faults.add_at(origin, f"`{reference}` names nothing")
            return None
        return target, place

    def _open(self, address: str, file: str, origin: Origin) -> str | None:
        """Read a file that another one refers to, once; return its name."""
        if not file:
            self.faults.add_at(origin, f"`{address}` is a file, and a document that is no file has none beside it")
            return None
        name = os.path.normpath(os.path.join(os.path.dirname(file), address))
        if name == os.path.normpath(self._file):
            return self._file
        if name not in self._values:
            try:
                self.texts[name] = Path(name).read_bytes()
                self._values[name] = read_text(self.texts[name])
            except Unreadable as error:
                self.faults.add_at(Origin(name, ()), str(error), error.line)
                self._values[name] = {}
                return None
            except (OSError, ValueError) as error:
                self.faults.add_at(origin, f"`{name}` cannot be read ({type(error).__name__})")
                return None
        return name

    def _place(self, file: str, pointer: Pointer, kind: Kind) -> Pointer:
        """Return the place of a target in the whole document; a target outside its components is placed there."""
        section = section_of(kind, is_swagger_2=self._is_swagger_2)
        assert section is not None
        if file == self._file and pointer[: len(section)] == section and len(pointer) > len(section):
            return pointer
        key = (file, pointer, kind)
        if key not in self._placed:
            base = _UNFIT.sub("_", pointer[-1] if pointer else Path(file).stem).strip("_") or kind
            if section not in self._taken:
                self._taken[section] = set()
                with suppress(KeyError, TypeError):
                    self._taken[section] |= set(dig(self._root, section))
            taken = self._taken[section]
            name, count = base, 2
            while name in taken:
                name, count = f"{base}_{count}", count + 1
            taken.add(name)
            self._placed[key] = (*section, name)
            self._pending.append((key, self._placed[key]))
            self.origins[*section, name] = Origin(file, pointer)
        return self._placed[key]


def _relative_to(base: str, address: str) -> str:
    """Return an address without what it shares with the document's own address (`$self`)."""
    if not base or not address:
        return address
    folder = base.partition("#")[0].rpartition("/")[0] + "/"
    if address == base.partition("#")[0]:
        return ""
    return address.removeprefix(folder) if ":" in folder else address


def _own_section(content: dict[str, Any], section: Pointer) -> dict[str, Any]:
    """Return a section of the components, which is made when it is missing."""
    for part in section:
        found = content.get(part)
        content[part] = dict(found) if isinstance(found, dict) else {}
        content = content[part]
    return content


def _named_schemas(root: Any) -> dict[str, Pointer]:
    """Return the pointers of schemas by their `$id` and `$anchor`."""
    names: dict[str, Pointer] = {}
    for kind, pointer, node in walk("document", root):
        if kind == "schema":
            if isinstance(node.get("$id"), str):
                names[node["$id"]] = pointer
            if isinstance(node.get("$anchor"), str):
                names["#" + node["$anchor"]] = pointer
    return names
