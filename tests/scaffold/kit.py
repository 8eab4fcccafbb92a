"""Helpers shared by the tests of `scaffold`."""

import itertools
from collections.abc import Callable
from pathlib import Path

from tests.journeys.zygote import Process

from carboy.scaffold import CHOICES

COMBINATIONS = {
    ",".join(chosen) or "nothing": frozenset(chosen)
    for size in range(len(CHOICES) + 1)
    for chosen in itertools.combinations(CHOICES, size)
}


"""Every choice of `--with`, by how it is written."""


Projects = dict[str, Path]


Run = Callable[..., Process]


def complaint(process: Process) -> str:
    """Return what a process said if it ended with another code than 0."""
    code = process.end(240)
    return f"code {code}: {process.said[-3000:]}" if code else ""
