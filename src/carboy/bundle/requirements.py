"""Find what a project depends on, with any tool that locked it, as lines that uv and pip read."""

import json
import re
import tomllib
from pathlib import Path

from carboy.bundle.lines import Line, Requirements
from carboy.bundle.locks import (
    from_pipenv,
    from_poetry,
    from_pylock,
    from_pyproject,
    from_uv,
    workspace_lock,
)
from carboy.bundle.options import BuildOptions
from carboy.bundle.requirements_txt import parse_file
from carboy.bundle.setup_files import from_setup
from carboy.errors import CarboyError, UsageError

_FILES = (
    *("src/requirements.txt", "requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "pylock.toml", "Pipfile"),
    *("pyproject.toml", "setup.cfg", "setup.py"),
)
_OTHERS = (
    *("requirements/*.txt", "requirements/*.in", "requirements[-_.]*.txt", "requirements*.in"),
    *("environment.yml", "environment.yaml", "conda-lock.yml", "pixi.lock", "pdm.lock"),
)
"""Files that name dependencies and are not read by themselves."""
_TOOLS = re.compile(r"(?i)dev|test|lint|doc|build|typ|ci\b")


def read_requirements(options: BuildOptions, uv: str | None) -> tuple[str, Path | None]:
    """Return the requirements as text, without comments, and the file that they were read from.

    Args:
        options: may name the file.
        uv: the program, which alone reads `uv.lock`.

    Raises:
        UsageError: a file that was named is not there.
        CarboyError: a file cannot be read, or names a source that cannot be used.
    """
    requirements = load_requirements(options, uv)
    return requirements.render(), requirements.origin


def load_requirements(options: BuildOptions, uv: str | None) -> Requirements:
    """Return the requirements with the source of each, as `read_requirements` finds them.

    Raises:
        UsageError: a file that was named is not there.
        CarboyError: a file cannot be read, or names a source that cannot be used.
    """
    path = _choose(options)
    if path is None:
        _refuse_others(options.service_dir)
        return Requirements([], None)
    try:
        lines = _read(path, options.service_dir.resolve(), uv)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CarboyError(
            "the dependencies cannot be read",
            f"`{path}` is not a valid {path.name}: {error}",
            "write it again with the tool that made it, or name another file with --requirements",
        ) from error
    if not lines and path.name in {"pyproject.toml", "setup.cfg", "setup.py"}:
        _refuse_others(options.service_dir)
    return Requirements(lines, path)


def _refuse_others(root: Path) -> None:
    """Refuse a project whose dependencies are in a file that is not read by itself.

    Raises:
        CarboyError: there is such a file, and no other names any dependency.
    """
    found = [path.relative_to(root) for pattern in _OTHERS for path in sorted(root.glob(pattern))]
    named = [str(path) for path in found if not _TOOLS.search(path.name)]
    if named:
        lists = [name for name in named if name.endswith((".txt", ".in"))]
        how = f"name it: --requirements {lists[0]}" if lists else "write a requirements.txt with the tool that made it"
        raise CarboyError(
            "the dependencies cannot be read",
            f"{', '.join(f'`{name}`' for name in named)}: such a file is not read by itself",
            f"{how}; an empty `requirements.txt` says that there are none",
        )


def _read(path: Path, service_dir: Path, uv: str | None) -> list[Line]:
    match path.name:
        case "uv.lock":
            return from_uv(path, service_dir, uv)
        case "poetry.lock":
            return from_poetry(path)
        case "Pipfile.lock":
            lock = json.loads(path.read_text("utf-8"))
            return from_pipenv(lock.get("default", {}), lock.get("_meta", {}).get("sources", []), path.parent)
        case "Pipfile":
            pipfile = tomllib.loads(path.read_text("utf-8"))
            return from_pipenv(pipfile.get("packages", {}), pipfile.get("source", []), path.parent)
        case "pylock.toml":
            return from_pylock(path)
        case "pyproject.toml":
            return from_pyproject(path)
        case "setup.cfg" | "setup.py":
            return from_setup(path.parent)
    return parse_file(path)


def _choose(options: BuildOptions) -> Path | None:
    if options.pipfile is not None and options.requirements is not None:
        raise UsageError(
            "the dependencies cannot be read", "--requirements and --pipfile exclude each other", "name one"
        )
    if options.pipfile is not None:
        given = options.pipfile if options.pipfile.exists() else options.service_dir / options.pipfile
        if given.is_dir():
            given /= "Pipfile.lock" if (given / "Pipfile.lock").is_file() else "Pipfile"
        named = _existing(options.service_dir, given, "--pipfile")
        lock = named.with_name(named.name.removesuffix(".lock") + ".lock")
        return lock if lock.is_file() else named
    if options.requirements is not None:
        return _existing(options.service_dir, options.requirements, "--requirements")
    root = options.service_dir
    found = next((root / name for name in _FILES if (root / name).is_file()), None)
    return (workspace_lock(root) or found) if found is not None and found.name == "pyproject.toml" else found


def _existing(root: Path, named: Path, option: str) -> Path:
    path = named if named.is_file() else root / named
    if not path.is_file():
        raise UsageError(
            "the dependencies cannot be read", f"there is no file `{named}`", f"name the file with {option}"
        )
    return path
