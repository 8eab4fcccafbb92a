"""Pack the running Carboy as a wheel, for builds where it was installed from a clone or a file."""

import hashlib
import os
import tempfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from carboy.bundle.lines import Line, Requirements
from carboy.bundle.zip_file import append_files

_NAME = "carboy"
_METADATA = ("METADATA", "entry_points.txt")


def with_running_carboy(requirements: Requirements, folder: Path) -> Requirements:
    """Return requirements in which Carboy comes from where this process has it, unless an index or a lock gives it.

    Args:
        requirements: of a project.
        folder: where the wheel is kept.

    Source: PEP 610, `direct_url.json`.
    """
    root = Path(__file__).parents[3]
    lines = [
        replace(line, text=line.text.partition(" @ ")[0], is_source=False, path=None)
        if line.name == _NAME and line.path == root  # the very clone that runs: it needs no build backend
        else line
        for line in requirements.lines
    ]
    wanted = [line for line in lines if line.name == _NAME and not (line.path or line.index or line.hashes)]
    if requirements.are_locked or not any(" @ " not in line.text for line in wanted):
        return requirements
    wheel = write_running_wheel(folder)
    if wheel is None:
        return requirements
    return Requirements([*lines, Line(f"{_NAME} @ {wheel.as_uri()}", _NAME, path=wheel)], requirements.origin)


def write_running_wheel(folder: Path) -> Path | None:
    """Write a wheel of the running Carboy below a folder and return it; None where an index has it.

    The bytes are those of its files alone, and an unchanged one is not written again.
    """
    try:
        installed = distribution(_NAME)
    except PackageNotFoundError:
        return None
    if not installed.read_text("direct_url.json"):
        return None
    package = Path(__file__).parents[1]
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    state = [(path.relative_to(package).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.sha256(repr((installed.version, state)).encode()).hexdigest()[:16]
    wheel = folder / f"carboy-{digest}" / f"{_NAME}-{installed.version}-py3-none-any.whl"
    if wheel.is_file():
        return wheel
    info = f"{_NAME}-{installed.version}.dist-info"
    about = {f"{info}/{name}": (installed.read_text(name) or "").encode() for name in _METADATA}
    about[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: carboy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    names = [f"{_NAME}/{name}" for name, _, _ in state] + [*about, f"{info}/RECORD"]
    about[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in names).encode()
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheel.parent) as work:
        made = Path(work, wheel.name)
        append_files(
            made, [*((f"{_NAME}/{path.relative_to(package).as_posix()}", path) for path in files), *about.items()]
        )
        os.replace(made, wheel)
    return wheel
