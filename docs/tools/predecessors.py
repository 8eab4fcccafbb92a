"""Write docs/how-to/predecessors.md from the rows that `tests/predecessors` checks.

python -m docs.tools.predecessors
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.predecessors.rows import Row, names, rows

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "predecessors.md"


class Section(NamedTuple):
    """A part of the page: the file of its rows, its title, and where to read more."""

    part: str
    title: str
    see: str


SECTIONS = (
    Section(
        "configuration_centre",
        "The configuration-centre article",
        "See [the configuration centre](configuration-centre.md) and [rotating\n"
        "passwords](rotate-database-passwords.md).",
    ),
    Section("fleece_library", "Fleece 1.2.1: the library", "See [from Fleece](from-fleece.md)."),
    Section(
        "fleece_commands",
        "Fleece 1.2.1: its commands",
        "See [build](build.md), [the encrypted file](closed-config.md) and [borrowed\n"
        "credentials](run-with-borrowed-credentials.md).",
    ),
    Section(
        "webhook_tutorial",
        "The webhook tutorial, and its later version",
        "See [from the webhook tutorial](from-the-webhook-tutorial.md), whose page replays the calls of its README.",
    ),
    Section("sms_tutorial", "The SMS tutorial", "See [from the SMS tutorial](from-the-sms-tutorial.md)."),
)


def render_page() -> str:
    """Return the page."""
    found = {section.part: rows(section.part) for section in SECTIONS}
    modules = names()
    here, missing = (sum(len(getattr(one, state)) for one in modules) for state in ("here", "missing"))
    every = [row for part in found.values() for row in part]
    states = Counter(row.state for row in every)
    lines = [
        "# Predecessors, row by row",
        "",
        "What people do with the programs that Carboy replaces, and what happens here. *same*: it works as there.",
        "*better*: it works, and something that went wrong there does not. *differs*: change it as the row says.",
        "",
        "A row is one thing that a predecessor's page says or shows and that you can try: a sentence that promises a",
        "behaviour, a call, an option or setting. The test suite runs a row's Python, or has a test for it.",
        "",
        f"{len(every)} rows: {states['same']} are the same, {states['better']} are better, {states['differs']} differ.",
        f"Of the {here + missing} public names that Fleece's modules define, {here} are here.",
        "",
    ]
    for section in SECTIONS:
        lines += [f"## {section.title}", "", section.see, "", "| there | here | state |", "| --- | --- | --- |"]
        lines += [_line(row) for row in found[section.part]]
        lines.append("")
        if section.part == "fleece_library":
            lines += ["### Names", "", "| module | here | missing |", "| --- | --- | --- |"]
            lines += [f"| `{one.module}` | {_code(one.here)} | {_code(one.missing)} |" for one in modules]
            lines.append("")
    return "\n".join(lines)


def _line(row: Row) -> str:
    return f"| {_cell(row.there)} | {_cell(row.here)} | {row.state} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(found: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in found)


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
