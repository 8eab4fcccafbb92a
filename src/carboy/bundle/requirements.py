"""Find what a project depends on, and say it as pip's requirements, whatever tool has locked it."""

import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carboy.bundle.options import BuildOptions
from carboy.errors import CarboyError, UsageError

__all__ = ["read_requirements"]

_FILES = ("requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "pyproject.toml")
_WITH_PATH = ("-f ", "--find-links ", "--find-links=", "-c ", "--constraint ", "--constraint=")
_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)(?:\s+|=)(\S+)")


def read_requirements(options: BuildOptions, uv: str | None) -> tuple[str, Path | None]:
    """Return the requirements as text, without comments, and the file that they were read from.

    Args:
        options: may name the file.
        uv: the program, which alone reads `uv.lock`.

    Raises:
        UsageError: a file that was named is not there.
        CarboyError: a lock cannot be read.
    """
    path = _choose(options)
    if path is None:
        return "", None
    match path.name:
        case "uv.lock":
            lines = _from_uv(path, uv)
        case "poetry.lock":
            lines = _from_poetry(path)
        case "Pipfile.lock":
            lines = _from_pipfile_lock(json.loads(path.read_text("utf-8")))
        case "Pipfile":
            lines = _from_pipfile(tomllib.loads(path.read_text("utf-8")).get("packages", {}))
        case "pyproject.toml":
            lines = _from_pyproject(path)
        case _:
            lines = _from_text(path)
    return "".join(f"{line}\n" for line in lines), path


def _choose(options: BuildOptions) -> Path | None:
    if options.pipfile is not None:
        named = _existing(options.service_dir, options.pipfile, "--pipfile")
        lock = named.with_name(named.name.removesuffix(".lock") + ".lock")
        return lock if lock.is_file() else named
    if options.requirements is not None:
        return _existing(options.service_dir, options.requirements, "--requirements")
    return next((options.service_dir / name for name in _FILES if (options.service_dir / name).is_file()), None)


def _existing(root: Path, named: Path, option: str) -> Path:
    path = named if named.is_file() else root / named
    if not path.is_file():
        raise UsageError("the dependencies cannot be read", f"there is no `{named}`", f"name the file with {option}")
    return path


def _from_text(path: Path, seen: frozenset[Path] = frozenset()) -> list[str]:
    """Return the lines of a requirements file, those of the files that it includes among them."""
    lines: list[str] = []
    text = path.read_text("utf-8").replace("\\\n", " ")
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        included = _INCLUDE.match(line)
        if included and line.startswith(("-r", "--requirement")):
            other = (path.parent / included[1]).resolve()
            if other not in seen:
                lines += _from_text(other, seen | {path.resolve()})
        elif line:
            lines.append(_absolute(re.sub(r"\s+", " ", line), path.parent))
    return lines


def _absolute(line: str, folder: Path) -> str:
    """Return a line with the local path in it, if it has one, made absolute: it will be read from another folder."""
    option, space, value = line.rpartition(" ") if line.startswith(_WITH_PATH) else ("", "", line)
    option, equals, value = value.rpartition("=") if value.startswith("--") else (option + space, "", value)
    is_path = bool(option) or value.startswith((".", "/"))
    return f"{option}{equals}{(folder / value).resolve()}" if is_path and (folder / value).exists() else line


def _from_uv(path: Path, uv: str | None) -> list[str]:
    if uv is None:
        raise CarboyError("`uv.lock` cannot be read", "uv is not installed", "pip install 'carboy[build]'")
    command = [uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--quiet"]
    ran = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CarboyError("`uv.lock` cannot be read", ran.stderr.strip()[-500:], "run `uv lock`")
    return [line for line in ran.stdout.replace("\\\n", " ").splitlines() if line.strip()]


def _from_poetry(path: Path) -> list[str]:
    packages: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8")).get("package", [])
    if not any("groups" in package or "category" in package for package in packages):
        packages = _needed(packages, path.with_name("pyproject.toml"))
    lines = []
    for package in packages:
        if package.get("optional") or "main" not in package.get("groups", [package.get("category", "main")]):
            continue
        markers = package.get("markers")
        marker = markers.get("main") if isinstance(markers, dict) else markers
        lines.append(f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else ""))
    return lines


def _needed(packages: list[dict[str, Any]], pyproject: Path) -> list[dict[str, Any]]:
    """Return the packages that the project's own dependencies lead to: older locks do not tell development's apart."""
    by_name = {_canonical(package["name"]): package for package in packages}
    project = tomllib.loads(pyproject.read_text("utf-8")) if pyproject.is_file() else {}
    declared = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    waiting = [_canonical(name) for name in declared] + [
        _canonical(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])
        for line in project.get("project", {}).get("dependencies", [])
    ]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed.add(name)
            waiting += [_canonical(each) for each in by_name[name].get("dependencies", {})]
    return [package for name, package in by_name.items() if name in needed]


def _from_pipfile_lock(lock: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, pin in sorted(lock.get("default", {}).items()):
        extras = f"[{','.join(pin['extras'])}]" if pin.get("extras") else ""
        marker = f" ; {pin['markers']}" if pin.get("markers") else ""
        hashes = "".join(f" --hash={each}" for each in pin.get("hashes", []))
        lines.append(f"{name}{extras}{pin.get('version', '')}{marker}{hashes}")
    return lines


def _from_pipfile(packages: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, wish in sorted(packages.items()):
        version = wish.get("version", "*") if isinstance(wish, dict) else wish
        extras = f"[{','.join(wish['extras'])}]" if isinstance(wish, dict) and wish.get("extras") else ""
        lines.append(f"{name}{extras}{'' if version == '*' else version}")
    return lines


def _from_pyproject(path: Path) -> list[str]:
    document = tomllib.loads(path.read_text("utf-8"))
    if "project" not in document and "poetry" in document.get("tool", {}):
        raise CarboyError(
            "the dependencies cannot be read", "`pyproject.toml` is Poetry's and has no lock", "run `poetry lock`"
        )
    return list(document.get("project", {}).get("dependencies", []))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
