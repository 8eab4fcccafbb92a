"""A loaded OpenAPI document, and where each of its parts was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Pointer = tuple[str, ...]


class Origin(NamedTuple):
    """Where a part of a document was written.

    Attributes:
        file: the name it was opened by; empty for a document that was passed as a mapping.
        pointer: the place in that file.
    """

    file: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Document:
    """A well-formed OpenAPI 3 document in one piece.

    Attributes:
        content: OpenAPI 3.0, 3.1 or 3.2; must not be changed.
        name: what messages call it: its file, or its title.
        origins: where its parts were written, by their pointer.
    """

    content: dict[str, Any]
    name: str
    origins: Mapping[Pointer, Origin] = field(repr=False)
