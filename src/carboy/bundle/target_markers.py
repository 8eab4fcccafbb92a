"""Evaluate environment markers for the function's Python and processor, where only pip is there to install."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.bundle.lines import Line, canonical
from carboy.bundle.options import PYTHONS, Arch
from carboy.errors import MissingExtra

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def applicable(lines: Iterable[Line], python: str, arch: Arch) -> list[Line]:
    """Return the lines that count on the function's platform, without their markers.

    Raises:
        MissingExtra: a line has a marker, and `packaging` is not installed.
    """
    kept: list[Line] = []
    for line in lines:
        text, semicolon, marker = line.text.partition(" ;" if "://" in line.text else ";")
        if not semicolon or line.text.startswith("-"):
            kept.append(line)
        elif _parse(f"name ; {marker}").marker.evaluate(_environment(python, arch)):  # type: ignore[union-attr]
            kept.append(replace(line, text=text.strip()))
    return kept


def unmet(target: Path, lines: Sequence[Line], python: str, arch: Arch) -> list[str]:
    """Return what installed packages need on the function's platform and is not installed.

    Args:
        target: the folder that pip has installed to.
        lines: what was asked for.
        python: the function's minor version.
        arch: its processor.

    Raises:
        MissingExtra: `packaging` is not installed.
    """
    needs = {
        canonical(str(about["Name"])): about.get_all("Requires-Dist") or []
        for about in (HeaderParser().parsestr(path.read_text("utf-8")) for path in target.glob("*.dist-info/METADATA"))
    }
    environment, missing = _environment(python, arch), {}
    waiting = [_parse(line.text.partition(" @ ")[0]) for line in lines if line.name]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        name, extras = canonical(one.name), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in needs:
            suffix = f"[{','.join(sorted(extras))}]" if extras else ""
            missing[name] = f"{one.name}{suffix}{one.specifier}"
        for text in needs.get(name, []):
            needed = _parse(text)
            facts = [{**environment, "extra": extra} for extra in extras | {""}]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in facts):
                waiting.append(needed)
    return sorted(missing.values())


def _parse(text: str) -> "Requirement":
    try:
        from packaging.requirements import Requirement
    except ImportError as error:
        raise MissingExtra("dependencies need `uv`", "it is not installed", "pip install 'carboy[build]'") from error
    return Requirement(text)


def _environment(python: str, arch: Arch) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": PYTHONS[python],
        "os_name": "posix",
        "platform_machine": "aarch64" if arch == "arm64" else "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": PYTHONS[python],
        "python_version": python,
        "sys_platform": "linux",
    }
