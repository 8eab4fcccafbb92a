"""Read locks and project files of uv, Poetry and Pipenv; a package keeps the source that the lock gives it."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from carboy.bundle.lines import Line, canonical, direct, from_table, local, pinned, refused, repository
from carboy.bundle.requirements_txt import parse_file, parse_line
from carboy.bundle.setup_files import from_setup
from carboy.bundle.uv_settings import index_lines, uv_settings
from carboy.config.environ import read_environ
from carboy.errors import CarboyError

_PYPI = re.compile(r"https://(?:pypi\.org|pypi\.python\.org)/simple/?")


def from_uv(path: Path, service_dir: Path, uv: str | None) -> list[Line]:
    """Return the packages that `uv.lock` has chosen for a project, which may be a member of a workspace.

    Raises:
        CarboyError: uv is not installed, the lock is not up to date, or a source cannot be used.
    """
    if uv is None:
        raise CarboyError("`uv.lock` cannot be read", "uv is not installed", "pip install 'carboy[build]'")
    command = [uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--quiet"]
    in_project = service_dir if (service_dir / "pyproject.toml").is_file() else path.parent
    ran = subprocess.run([*command, "--no-editable"], cwd=in_project, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CarboyError("`uv.lock` cannot be read", ran.stderr.strip()[-500:], "run `uv lock`")
    indexes = _uv_indexes(tomllib.loads(path.read_text("utf-8")), path.parent)
    lines = []
    for text in ran.stdout.replace("\\\n", " ").splitlines():
        if text.strip():
            line = parse_line(" ".join(text.split()), path.parent)
            found = indexes.get(line.name, set()) if line.path is None and " @ " not in line.text else set()
            if len(found) > 1:
                raise refused(line.name, "`uv.lock` takes it from several indexes", "take it from one")
            lines.append(Line(line.text, line.name, line.hashes, next(iter(found), None), line.is_source, line.path))
    return lines


def _uv_indexes(lock: Mapping[str, Any], folder: Path) -> dict[str, set[str | None]]:
    """Return the indexes of each package: None for PyPI, which a configured mirror may stand for."""
    found: dict[str, set[str | None]] = {}
    for package in lock.get("package", []):
        registry = package.get("source", {}).get("registry")
        if registry is not None:
            url = registry if "://" in registry else str((folder / registry).resolve())
            found.setdefault(canonical(package["name"]), set()).add(None if _PYPI.fullmatch(url) else url)
    return found


def workspace_lock(service_dir: Path) -> Path | None:
    """Return the lock of the uv workspace that a project is a member of, if it is one of one."""
    service_dir = service_dir.resolve()
    for folder in service_dir.parents:
        pyproject, lock = folder / "pyproject.toml", folder / "uv.lock"
        if not (pyproject.is_file() and lock.is_file()):
            continue
        workspace = tomllib.loads(pyproject.read_text("utf-8")).get("tool", {}).get("uv", {}).get("workspace", {})
        inside = service_dir.relative_to(folder).as_posix()
        if any(fnmatch(inside, pattern) for pattern in workspace.get("members", [])):
            excluded = any(fnmatch(inside, pattern) for pattern in workspace.get("exclude", []))
            return None if excluded else lock
    return None


def from_poetry(path: Path) -> list[Line]:
    """Return the packages of a `poetry.lock` that the service needs, each from the source that the lock names.

    Raises:
        CarboyError: a source cannot be used.
    """
    lock = tomllib.loads(path.read_text("utf-8"))
    packages: list[dict[str, Any]] = lock.get("package", [])
    files = lock.get("metadata", {}).get("files", {})  # where locks before 1.3 keep them
    if not any("groups" in package or "category" in package for package in packages):
        packages = _needed(packages, path.with_name("pyproject.toml"))
    return [
        _from_poetry_package({"files": files.get(package["name"], []), **package}, path.parent)
        for package in packages
        if not package.get("optional") and "main" in package.get("groups", [package.get("category", "main")])
    ]


def _from_poetry_package(package: Mapping[str, Any], folder: Path) -> Line:
    name, source = package["name"], package.get("source", {})
    markers = package.get("markers")
    marker = (markers.get("main") if isinstance(markers, dict) else markers) or ""
    hashes = [each["hash"] for each in package.get("files", []) if each.get("hash")]
    match source.get("type"):
        case None:
            return pinned(name, f"=={package['version']}", marker=marker, hashes=hashes)
        case "legacy":
            return pinned(name, f"=={package['version']}", marker=marker, hashes=hashes, index=source["url"])
        case "git":
            reference = source.get("resolved_reference") or source.get("reference") or ""
            return repository(name, source["url"], reference, source.get("subdirectory") or "", marker=marker)
        case "directory" | "file":
            return local(folder / source["url"], name=name, marker=marker)
        case "url":
            return direct(name, source["url"], marker=marker, hashes=hashes)
    raise refused(name, f"`poetry.lock` takes it from a source of type `{source['type']}`", "take it from an index")


def _needed(packages: list[dict[str, Any]], pyproject: Path) -> list[dict[str, Any]]:
    """Return the packages that the project's own dependencies lead to: older locks do not mark development's."""
    by_name = {canonical(package["name"]): package for package in packages}
    project = tomllib.loads(pyproject.read_text("utf-8")) if pyproject.is_file() else {}
    declared = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    waiting = [canonical(name) for name in declared] + [
        canonical(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])
        for line in project.get("project", {}).get("dependencies", [])
    ]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed.add(name)
            waiting += [canonical(each) for each in by_name[name].get("dependencies", {})]
    return [package for name, package in by_name.items() if name in needed]


def from_pipenv(packages: Mapping[str, Any], sources: list[Mapping[str, Any]], folder: Path) -> list[Line]:
    """Return the packages of a `Pipfile` or its lock, each from the source that it names.

    Args:
        packages: the entries by name.
        sources: the indexes.
        folder: of the file.

    Raises:
        CarboyError: a source cannot be used.
    """
    environ = read_environ()
    indexes = {
        source["name"]: re.sub(r"\$\{?(\w+)\}?", lambda found: environ.get(found[1], found[0]), source["url"])
        for source in sources
    }
    lines = []
    first = next(iter(indexes.values()), "")
    if first and not _PYPI.fullmatch(first):
        lines.append(Line(f"--index-url {first}"))
    named = {name: "" if _PYPI.fullmatch(url) and url == first else url for name, url in indexes.items()}
    for name, wanted in sorted(packages.items()):
        table = wanted if isinstance(wanted, dict) else {"version": wanted}
        lines.append(from_table(name, table, folder, named))
    return lines


def from_pylock(path: Path) -> list[Line]:
    """Return the packages of a `pylock.toml`, each from the source that the lock names.

    Raises:
        CarboyError: a source cannot be used, or packages are chosen by extras or groups.

    Source: PEP 751.
    """
    lines = []
    for package in tomllib.loads(path.read_text("utf-8")).get("packages", []):
        name, marker = package["name"], package.get("marker", "")
        if re.search(r"\b(extras|dependency_groups)\b", marker):
            raise refused(name, "`pylock.toml` chooses it by an extra or a group", "lock the service's packages alone")
        vcs, folder, archive = (package.get(key, {}) for key in ("vcs", "directory", "archive"))
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        hashes = [f"{kind}:{value}" for file in [*files, archive] for kind, value in file.get("hashes", {}).items()]
        if vcs:
            table = {"git": vcs.get("url") or (path.parent / vcs["path"]).resolve().as_uri(), "rev": vcs["commit-id"]}
            if vcs["type"] != "git":
                raise refused(name, f"its source is `{vcs['type']}`", "take it from an index")
            lines.append(from_table(name, {**vcs, **table, "marker": marker}, path.parent, {}))
        elif folder or archive:
            where = {key: value for key, value in {**folder, **archive}.items() if key in {"path", "url"}}
            lines.append(from_table(name, {**where, "marker": marker, "hashes": hashes}, path.parent, {}))
        else:
            index = package.get("index", "")
            index = "" if _PYPI.fullmatch(index) else index
            lines.append(pinned(name, f"=={package['version']}", marker=marker, hashes=hashes, index=index))
    return lines


def from_pyproject(path: Path) -> list[Line]:
    """Return the dependencies of a `pyproject.toml`, with what `tool.uv.sources` says of them.

    Raises:
        CarboyError: only a build backend knows them, or a source cannot be used.
    """
    document = tomllib.loads(path.read_text("utf-8"))
    tool, folder = document.get("tool", {}), path.parent
    _refuse_other_tools(document, folder)
    if "project" not in document:
        return from_setup(folder)
    project = document["project"]
    if "dependencies" in project.get("dynamic", []):
        return _dynamic(tool, folder)
    uv = uv_settings(folder)
    indexes = {index["name"]: index["url"] for index in uv.get("index", []) if "name" in index}
    sources = {canonical(name): entry for name, entry in uv.get("sources", {}).items()}
    lines = [parse_line(text, folder) for text in project.get("dependencies", [])]
    found = [each for line in lines for each in _from_uv_source(line, sources.get(line.name), folder, indexes)]
    return index_lines(uv, folder) + found


def _refuse_other_tools(document: Mapping[str, Any], folder: Path) -> None:
    """Refuse a project whose tool takes packages from elsewhere than the list of its dependencies says."""
    tool = document.get("tool", {})
    poetry, pdm = tool.get("poetry"), tool.get("pdm", {})
    if poetry is not None:
        tables = [each for each in poetry.get("dependencies", {}).values() if isinstance(each, dict | list)]
        if "project" not in document or poetry.get("source") or tables:
            raise _unreadable("`pyproject.toml` is Poetry's and has no lock", "run `poetry lock`")
    if pdm.get("source") or (folder / "pdm.lock").is_file():
        raise _unreadable("`pyproject.toml` is PDM's, whose lock is not read", "run `pdm export -o requirements.txt`")
    if "flit" in tool and "project" not in document:
        raise _unreadable("`pyproject.toml` is Flit's, of the old form", "give it a `[project]` table")


def _unreadable(why: str, hint: str) -> CarboyError:
    return CarboyError("the dependencies cannot be read", why, hint)


def _from_uv_source(line: Line, entry: Any, folder: Path, indexes: Mapping[str, str]) -> Iterator[Line]:
    """Yield a dependency as its entries of `tool.uv.sources` have it: one for each marker."""
    if entry is None:
        yield line
        return
    requirement, _, marker = (part.strip() for part in line.text.partition(";"))
    parts = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*(.*)", requirement)
    if parts is None:
        raise refused(line.name, "it has a URL and an entry in `tool.uv.sources`", "remove one of the two")
    for each in entry if isinstance(entry, list) else [entry]:
        marked = " and ".join(f"({text})" for text in (marker, each.get("marker")) if text)
        if each.get("workspace"):
            raise refused(line.name, "it is a member of a uv workspace without a lock", "run `uv lock`")
        table = {**each, "version": parts[3], "extras": [part for part in (parts[2] or "").split(",") if part]}
        yield from_table(parts[1], {**table, "marker": marked}, folder, indexes)


def _dynamic(tool: Mapping[str, Any], folder: Path) -> list[Line]:
    """Return dependencies that setuptools reads from files; those of other build backends are refused."""
    declared = tool.get("setuptools", {}).get("dynamic", {}).get("dependencies", {})
    files = declared.get("file", []) if isinstance(declared, dict) else []
    if files:
        return [line for name in ([files] if isinstance(files, str) else files) for line in parse_file(folder / name)]
    if found := from_setup(folder):
        return found
    raise _unreadable(
        "`pyproject.toml` says that they are dynamic: only its build backend knows them",
        "run `uv lock`, or name a requirements file with --requirements",
    )
