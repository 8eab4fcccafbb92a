"""How a reference page is written: its first line, and the cells of its tables."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["cell", "page", "table"]

_HEAD = "<!-- made by `python -m docs.tools.reference`; do not edit -->"


def page(title: str, *parts: str) -> str:
    """Return a page of parts, each a paragraph, a heading or a table."""
    return "\n\n".join([f"# {title}", _HEAD, *(part for part in parts if part)]) + "\n"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; empty where it has no rows."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    head = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    return "\n".join([*head, *lines]) if lines else ""


def cell(text: str) -> str:
    """Return a text as it can stand in a cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip() or "–"
