"""Collect everything that is wrong with a document, each with its file, line and pointer, and stop the start once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from carboy.api.walk import render_pointer
from carboy.errors import ConfigurationError, Fault

__all__ = ["Faults", "Origin", "Pointer"]

Pointer = tuple[str, ...]


class Origin(NamedTuple):
    """Where a part of a document was written.

    Attributes:
        file: as it was named to us, or empty for a document that was handed in as a mapping.
        pointer: the place in that file.
    """

    file: str
    pointer: Pointer


class Faults:
    """The faults of one document so far."""

    def __init__(self, name: str, origins: Mapping[Pointer, Origin]) -> None:
        """Begin without any.

        Args:
            name: what to call the document in the message.
            origins: where its parts were written; what has no place of its own was written below its ancestor's.
        """
        self._name, self._origins = name, origins
        self._found: list[Fault] = []
        self._texts: dict[str, bytes] = {}

    def add(self, pointer: Sequence[str | int], detail: str) -> None:
        """Note a fault at a place of the whole document."""
        parts = tuple(str(part) for part in pointer)
        for length in range(len(parts), -1, -1):
            origin = self._origins.get(parts[:length])
            if origin is not None:
                self.add_at(Origin(origin.file, origin.pointer + parts[length:]), detail)
                return
        self.add_at(Origin("", parts), detail)

    def add_at(self, origin: Origin, detail: str, line: int = 0) -> None:
        """Note a fault at a place of a file; the line is looked up unless it is known."""
        where = f"{origin.file}:{line or self._line(origin)}: " if origin.file else ""
        fault = Fault(render_pointer(origin.pointer), where + detail)
        if fault not in self._found:
            self._found.append(fault)

    def stop_if_any(self) -> None:
        """Raise when there is a fault.

        Raises:
            ConfigurationError: with all of them.
        """
        if not self._found:
            return
        lines = [f"{fault.detail} (at {fault.pointer or 'the root'})" for fault in self._found]
        raise ConfigurationError(
            f"the OpenAPI document `{self._name}` cannot be served",
            "; ".join(lines),
            "mend each place that is named",
            self._found,
        )

    def _line(self, origin: Origin) -> int:
        from carboy.api.yaml_loader import line_of  # only a start that fails needs it

        text = self._texts.get(origin.file)
        if text is None:
            try:
                text = Path(origin.file).read_bytes()
            except OSError:
                text = b""
            self._texts[origin.file] = text
        return line_of(text, origin.pointer)
