"""Find the versions that a project asks for and that Carboy cannot be installed with; nothing is installed."""

import re
from collections.abc import Collection, Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import NamedTuple

from carboy.bundle.lines import canonical

_FILES = (
    "requirements.txt",
    "requirements/base.txt",
    "requirements/prod.txt",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "Pipfile",
)
"""Where projects list what they depend on."""

_NAME = r"[\"']?\b([A-Za-z][\w.-]*)(?:\[[^]]*\])?[\"']?"
_CONDITION = re.compile(rf"^\s*{_NAME}\s*(?:=\s*[\"'])?\s*(===?|~=|<=?|\^|~)\s*(\d+(?:\.\d+)*)", re.MULTILINE)
_BOUND = re.compile(r"(>=|<)([\d.]+)")


class _Range(NamedTuple):
    """The versions that a requirement allows: up to `most`, itself among them where it is a pin."""

    shown: str
    most: tuple[int, ...]
    is_pin: bool


def find_conflicts(folder: Path, extras: Collection[str]) -> dict[str, list[str]]:
    """Return, by file of dependencies, the requirements that Carboy's own rule out, each with what is needed.

    Args:
        folder: the project's.
        extras: those of Carboy's that the project is to have.
    """
    needed = dict(_needed(extras))
    found = {}
    for name in _FILES:
        path = folder / name
        asked = _ranges(path.read_text("utf-8", "replace")) if path.is_file() else {}
        conflicts = [
            f"{asked[one].shown} (it needs {bounds})"
            for one, bounds in needed.items()
            if one in asked and not _fits(asked[one], bounds)
        ]
        if conflicts:
            found[name] = sorted(conflicts)
    return found


def _needed(extras: Collection[str]) -> Iterator[tuple[str, str]]:
    for line in requires("carboy") or []:
        requirement, _, marker = line.partition(";")
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?(.*)", requirement)
        if match and (not marker or any(f"extra == '{one}'" in marker for one in extras)):
            yield canonical(match[1]), match[2].strip()


def _ranges(text: str) -> dict[str, _Range]:
    """Return the upper limits in a file of any of these formats: one requirement a line, or in quotes."""
    lines = re.sub(r"[\[,]\s*(?=[\"'])", "\n", text)  # a list of quoted requirements in one line
    found = {}
    for name, sign, version in _CONDITION.findall(lines):
        numbers = _numbers(version)
        if sign in {"~=", "^", "~"}:
            kept = 1 if sign == "^" or len(numbers) < 3 else 2
            most, is_pin = (*numbers[: kept - 1], numbers[kept - 1] + 1), False
        else:
            most, is_pin = numbers, sign != "<"
        found[canonical(name)] = _Range(f"{canonical(name)}{sign}{version}", most, is_pin)
    return found


def _fits(asked: _Range, bounds: str) -> bool:
    """Return whether some version is within what is asked for and within bounds of the forms `>=` and `<`."""
    for sign, number in _BOUND.findall(bounds):
        limit = _numbers(number)
        if sign == ">=" and (asked.most < limit or (asked.most == limit and not asked.is_pin)):
            return False
        if sign == "<" and asked.is_pin and "==" in asked.shown and asked.most >= limit:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip(".").split("."))
