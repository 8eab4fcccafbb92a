"""Helpers shared by the tests of `scaffold`."""

import itertools
from collections.abc import Callable
from pathlib import Path

from tests.journeys.zygote import Process

from carboy.scaffold import CHOICES

_WITHOUT_CONSOLE = [each for each in CHOICES if each != "console"]
_CHOSEN = [
    *(chosen for size in range(6) for chosen in itertools.combinations(_WITHOUT_CONSOLE, size)),
    ("console",),
    ("db", "console"),
    tuple(CHOICES),
]
COMBINATIONS = {",".join(chosen) or "nothing": frozenset(chosen) for chosen in _CHOSEN}
"""Every choice of `--with`, by how it is written; the console touches no other but `db`."""


Projects = dict[str, Path]


Run = Callable[..., Process]


def complaint(process: Process) -> str:
    """Return what a process said if it ended with another code than 0."""
    code = process.end(240)
    return f"code {code}: {process.said[-3000:]}" if code else ""
