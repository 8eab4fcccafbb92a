"""Collect the faults of a document, each with its file, line and pointer, and raise them as one error."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carboy.api.model import Origin, Pointer
from carboy.errors import ConfigurationError, Fault
from carboy.http_values import render_pointer


class Faults:
    """The faults found in one document so far, each once."""

    def __init__(self, name: str, origins: Mapping[Pointer, Origin]) -> None:
        """Begin with none.

        Args:
            name: what the message calls the document.
            origins: where its parts were written; a part that is not listed was written below its nearest ancestor.
        """
        self._name, self._origins = name, origins
        self._found: dict[tuple[Origin, str], int] = {}

    def add(self, pointer: Sequence[str | int], detail: str) -> None:
        """Record a fault at a place of the whole document."""
        parts = tuple(str(part) for part in pointer)
        for length in range(len(parts), -1, -1):
            origin = self._origins.get(parts[:length])
            if origin is not None:
                self.add_at(Origin(origin.file, origin.pointer + parts[length:]), detail)
                return
        self.add_at(Origin("", parts), detail)

    def add_at(self, origin: Origin, detail: str, line: int = 0) -> None:
        """Record a fault at a place of a file; the line is looked up unless it is given."""
        self._found.setdefault((origin, detail), line)

    def stop_if_any(self) -> None:
        """Raise when a fault was recorded.

        Raises:
            ConfigurationError: with all of them.
        """
        if not self._found:
            return
        finders: dict[str, _LineFinder] = {}
        faults = []
        for (origin, detail), line in self._found.items():
            where = ""
            if origin.file:
                if origin.file not in finders:
                    finders[origin.file] = _LineFinder(origin.file)
                where = f"{origin.file}:{line or finders[origin.file].line_of(origin.pointer)}: "
            faults.append(Fault(render_pointer(origin.pointer), where + detail))
        lines = [f"{fault.detail} (at {fault.pointer or 'the root'})" for fault in faults]
        raise unserved(self._name, "; ".join(lines), "fix each place that is named", faults)


def unserved(name: str, why: str, hint: str, faults: Sequence[Fault] = ()) -> ConfigurationError:
    """Make the error of a document that cannot be served."""
    what = f"the OpenAPI document `{name}` cannot be served"
    return ConfigurationError(what, why, hint, faults or [Fault("", why)])


class _LineFinder:
    """Finds the lines of many places in one file, which is read once."""

    def __init__(self, file: str) -> None:
        from carboy.api.yaml_loader import Unreadable, compose  # only a start that fails needs them

        self._root: Any = None
        self._first = 1
        self._below: dict[int, dict[str, Any]] = {}
        try:
            self._root = compose(Path(file).read_bytes())
        except OSError:
            pass
        except Unreadable as error:
            self._first = error.line

    def line_of(self, pointer: Pointer) -> int:
        """Return the line (from 1) of a place, or of its nearest ancestor that is there."""
        from carboy.api.yaml_loader import nodes_below

        node = self._root
        if node is None:
            return self._first
        for part in pointer:
            if id(node) not in self._below:
                self._below[id(node)] = nodes_below(node)
            below = self._below[id(node)].get(part)
            if below is None:
                break
            node = below
        return int(node.start_mark.line) + 1
