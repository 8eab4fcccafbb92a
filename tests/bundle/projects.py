"""Projects to build and the indexes that they install from, all on this disk."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bundle.wheelhouse import make_wheel, needed_by, repack

from carboy.bundle import BuildOptions

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HANDLER = {"handler.py": "def handler(event, context):\n    return event\n"}


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder and return it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def options_for(folder: Path, **given: Any) -> BuildOptions:
    """Return the options of a build for this Python, with a cache of its own."""
    return BuildOptions(folder, **{"python": PYTHON, "cache_dir": folder.parent / "cache", **given})


def make_index(
    folder: Path, name: str, files: Mapping[str, str], version: str = "1.0", tag: str = "py3-none-any"
) -> str:
    """Add a wheel to an index in a folder (PEP 503) and return the index's URL."""
    package = folder / name
    package.mkdir(parents=True, exist_ok=True)
    make_wheel(package, name, files, version=version, tag=tag)
    links = "".join(f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in sorted(package.glob("*.whl")))
    (package / "index.html").write_text(links)
    return folder.as_uri()


def sha256_of(folder: Path, name: str, version: str = "1.0") -> str:
    """Return the hash of a wheel in an index."""
    return hashlib.sha256((folder / name / f"{name}-{version}-py3-none-any.whl").read_bytes()).hexdigest()


def make_library(folder: Path, name: str, says: str, requires: str = "") -> Path:
    """Write a library's source, which hatchling builds, and return its folder."""
    module = name.replace("-", "_")
    write_files(
        folder,
        {
            f"src/{module}/__init__.py": f"says = {says!r}\n",
            "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "1.0"\ndependencies = [{requires}]\n'
            f'[tool.hatch.build.targets.wheel]\npackages = ["src/{module}"]\n',
        },
    )
    return folder


def with_build_backend(folder: Path) -> Path:
    """Write the wheels that build a library to a folder and return it."""
    folder.mkdir(exist_ok=True)
    repack(folder, *needed_by("hatchling", "editables"))
    return folder
