"""The rows of docs/how-to/predecessors.md, read from the files beside this module.

A row is one thing that a predecessor's page says or shows and that a reader can try: a sentence that promises a
behaviour, a call, an option or setting with its default, or a public name. Sentences that promise nothing (an
introduction, a link, a remark on how the software is built) are no rows. Each is shown by Python that is run (`run`),
or by a test (`shown_by`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
STATES = ("same", "better", "differs")
PARTS = ("configuration_centre", "fleece_library", "fleece_commands", "webhook_tutorial", "sms_tutorial")


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        part: the file's name.
        number: from 1.
        there: what the predecessor says.
        here: what Carboy does.
        state: `same`, `better` or `differs`.
        run: Python that fails where this does not hold; empty where a test shows it.
        shown_by: `tests/…/test_x.py::test_y`.
    """

    part: str
    number: int
    there: str
    here: str
    state: str
    run: str = ""
    shown_by: str = ""

    def __str__(self) -> str:
        return f"{self.part}-{self.number}"


def rows(part: str) -> list[Row]:
    """Return the rows of a predecessor."""
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"{part}.yaml").read_text("utf-8"))
    made = [Row(part, number, **{key: str(value) for key, value in one.items()}) for number, one in enumerate(found, 1)]
    for row in made:
        if row.state not in STATES or bool(row.run) == bool(row.shown_by):
            raise ValueError(f"{row}: {row.there}")
    return made


@dataclass(frozen=True, slots=True)
class Names:
    """The public names that a module of Fleece 1.2.1 defines: those that are here, and those that are not."""

    module: str
    here: list[str]
    missing: list[str]


def names() -> list[Names]:
    """Return the names of each module."""
    found: dict[str, dict[str, str]] = yaml.safe_load((FOLDER / "fleece_names.yaml").read_text("utf-8"))
    return [
        Names(module, both.get("here", "").split(), both.get("missing", "").split()) for module, both in found.items()
    ]
