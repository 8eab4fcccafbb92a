"""Make one document of many files: what other files hold is brought into the components of the first.

Afterwards every `$ref` names a component of the same document, so that nobody looks at a file again. Nothing is
fetched from the network.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from carboy.api.problems_found import Faults, Origin, Pointer
from carboy.api.walk import Kind, children, dig, parse_pointer, render_pointer, section_of, walk
from carboy.api.yaml_loader import UnreadableText, read_text

__all__ = ["Bundler"]

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_REFERABLE = frozenset(
    ("schema", "response", "parameter", "example", "requestBody", "header", "securityScheme", "link", "callback")
) | {"pathItem"}
_SUFFIXES = (".yaml", ".yml", ".json")


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
        self._by_name = _named_schemas(root)
        self._inlining: list[tuple[str, Pointer]] = []

    def bundle(self) -> dict[str, Any]:
        """Return the document with every reference pointing into itself."""
        content: dict[str, Any] = self._copy(self._root, "document", self._file, ())
        for place, value in self._copy_placed():
            _put(content, place, value)
        return content

    def _copy_placed(self) -> list[tuple[Pointer, Any]]:
        """Copy what was placed, which may place more, until nothing is left."""
        done: dict[Pointer, Any] = {}
        while pending := [(key, place) for key, place in self._placed.items() if place not in done]:
            for (file, pointer, kind), place in pending:
                done[place] = self._copy(dig(self._values[file], pointer), kind, file, place, pointer)
        return list(done.items())

    def _copy(self, node: Any, kind: Kind, file: str, at: Pointer, pointer: Pointer | None = None) -> Any:
        """Copy a node with its references put right.

        Args:
            node: what to copy.
            kind: what it is.
            file: the file it stands in.
            at: its place in the whole document.
            pointer: its place in its file, when that is another.
        """
        pointer = at if pointer is None else pointer
        if not isinstance(node, dict):
            return node
        if kind == "schema" and "$id" in node:
            return node  # a schema resource of its own: its references are its own affair
        reference = node.get("$ref")
        if isinstance(reference, str) and kind in _REFERABLE:
            return self._copy_reference(node, reference, kind, file, at, pointer)
        return self._copy_parts(node, kind, file, at, pointer)

    def _copy_parts(self, node: dict[str, Any], kind: Kind, file: str, at: Pointer, pointer: Pointer) -> dict[str, Any]:
        result = dict(node)
        for below, kind_below, value in children(kind, node):
            copied = self._copy(value, kind_below, file, at + below, pointer + below)
            if copied is not value:
                if len(below) == 2:
                    container = result[below[0]]
                    if container is node[below[0]]:
                        container = result[below[0]] = container.copy()
                    container[int(below[1]) if isinstance(container, list) else below[1]] = copied
                else:
                    result[below[0]] = copied
        if kind == "schema" and isinstance(result.get("discriminator"), dict):
            result["discriminator"] = self._copy_discriminator(result["discriminator"], file, pointer)
        return result

    def _copy_reference(
        self, node: dict[str, Any], reference: str, kind: Kind, file: str, at: Pointer, pointer: Pointer
    ) -> Any:
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        target = self._target(reference, kind, file, pointer)
        if target is None:
            return node
        if kind == "pathItem" or section_of(kind, is_swagger_2=self._is_swagger_2) is None:
            return self._inline(target, siblings, kind, at, file, pointer)
        place = self._place(*target, kind)
        rest = self._copy_parts(siblings, kind, file, at, pointer) if siblings else {}
        return {"$ref": "#" + render_pointer(place), **rest}

    def _inline(
        self,
        target: tuple[str, Pointer],
        siblings: dict[str, Any],
        kind: Kind,
        at: Pointer,
        file: str,
        pointer: Pointer,
    ) -> Any:
        if target in self._inlining:
            self.faults.add_at(Origin(file, pointer), "the reference leads back to itself")
            return {}
        self._inlining.append(target)
        self.origins[at] = Origin(*target)
        copied = self._copy(dig(self._values[target[0]], target[1]), kind, target[0], at, target[1])
        self._inlining.pop()
        for key in siblings:
            self.origins[*at, key] = Origin(file, (*pointer, key))
        return {**copied, **self._copy_parts(siblings, kind, file, at, pointer)} if isinstance(copied, dict) else copied

    def _copy_discriminator(self, node: dict[str, Any], file: str, pointer: Pointer) -> dict[str, Any]:
        mapping = node.get("mapping")
        if not isinstance(mapping, dict):
            return node
        result = {}
        for value, reference in mapping.items():
            result[value] = reference
            if isinstance(reference, str) and ("#" in reference or "/" in reference or reference.endswith(_SUFFIXES)):
                target = self._target(reference, "schema", file, (*pointer, "discriminator", "mapping", value))
                if target is not None:
                    result[value] = "#" + render_pointer(self._place(*target, "schema"))
        return {**node, "mapping": result}

    def _target(self, reference: str, kind: Kind, file: str, pointer: Pointer) -> tuple[str, Pointer] | None:
        """Return the file and place that a reference names, or note why there is none."""
        address, _, fragment = reference.partition("#")
        origin = Origin(file, (*pointer, "$ref"))
        if kind == "schema" and reference in self._by_name:
            return self._file, self._by_name[reference]
        if urlsplit(address).scheme not in {"", "file"}:
            self.faults.add_at(origin, f"`{reference}` is elsewhere on the network; nothing is fetched")
            return None
        target = file if not address else self._open(unquote(address.removeprefix("file://")), file, origin)
        if target is None:
            return None
        try:
            place = parse_pointer(fragment)
            dig(self._values[target], place)
        except (KeyError, ValueError):
            self.faults.add_at(origin, f"`{reference}` names nothing")
            return None
        return target, place

    def _open(self, address: str, file: str, origin: Origin) -> str | None:
        """Read a file that another one names, once; return its name."""
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
            except OSError as error:
                self.faults.add_at(origin, f"`{name}` cannot be read ({type(error).__name__})")
                return None
            except UnreadableText as error:
                self.faults.add_at(Origin(name, ()), str(error), error.line)
                self._values[name] = {}
                return None
        return name

    def _place(self, file: str, pointer: Pointer, kind: Kind) -> Pointer:
        """Return where something stands in the whole document; what is not among its components is put there."""
        section = section_of(kind, is_swagger_2=self._is_swagger_2)
        assert section is not None
        if file == self._file and pointer[: len(section)] == section and len(pointer) > len(section):
            return pointer
        key = (file, pointer, kind)
        if key not in self._placed:
            base = _UNFIT.sub("_", pointer[-1] if pointer else Path(file).stem).strip("_") or kind
            taken = {place[-1] for place in self._placed.values() if place[:-1] == section}
            with suppress(KeyError):
                taken |= set(dig(self._root, section))
            name, count = base, 2
            while name in taken:
                name, count = f"{base}_{count}", count + 1
            self._placed[key] = (*section, name)
            self.origins[*section, name] = Origin(file, pointer)
        return self._placed[key]


def _put(content: dict[str, Any], place: Pointer, value: Any) -> None:
    for part in place[:-1]:
        content[part] = dict(content.get(part) or {})
        content = content[part]
    content[place[-1]] = value


def _named_schemas(root: Any) -> dict[str, Pointer]:
    """Find the schemas that are named by `$id` or `$anchor`."""
    names: dict[str, Pointer] = {}
    for kind, pointer, node in walk("document", root):
        if kind == "schema":
            if isinstance(node.get("$id"), str):
                names[node["$id"]] = pointer
            if isinstance(node.get("$anchor"), str):
                names["#" + node["$anchor"]] = pointer
    return names
