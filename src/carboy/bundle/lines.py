"""Requirements with the source of each: what a lock says of a package is kept until it is installed."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from carboy.errors import CarboyError

_VCS = ("git+", "hg+", "svn+", "bzr+")
_SETUP_NAME = re.compile(r"""\bname\s*=\s*["']([A-Za-z0-9._-]+)["']""")


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement, or an option of a requirements file.

    Attributes:
        text: as pip has it, with absolute paths and without hashes; an option begins with `-`.
        name: of the package, in its canonical form; empty for an option and where only an installer knows it.
        hashes: of the files that may be installed, such as `sha256:…`; empty for any.
        index: the URL or path of the only index that the package may come from; None for the configured ones.
        is_source: whether a wheel must first be built: a folder, a repository or a source archive.
        path: the local file or folder that it comes from.
    """

    text: str
    name: str = ""
    hashes: tuple[str, ...] = ()
    index: str | None = None
    is_source: bool = False
    path: Path | None = None

    def render(self, *, with_hashes: bool = True) -> str:
        """Return the line of a requirements file."""
        return self.text + "".join(f" --hash={each}" for each in self.hashes if with_hashes)


@dataclass(frozen=True, slots=True)
class Requirements:
    """All that a project depends on, and the file that names it (None when none does)."""

    lines: Sequence[Line]
    origin: Path | None

    @property
    def are_locked(self) -> bool:
        """Whether a lock has chosen the versions."""
        return self.origin is not None and self.origin.suffix == ".lock"

    def render(self, *, with_hashes: bool = True) -> str:
        """Return the text of a requirements file; empty without requirements."""
        if all(line.text.startswith("-") and not line.text.startswith(("-r", "--req")) for line in self.lines):
            return ""
        return "".join(f"{line.render(with_hashes=with_hashes)}\n" for line in self.lines)

    def render_for_elsewhere(self) -> str:
        """Return the text of a requirements file for another machine or container.

        Raises:
            CarboyError: a package is only on this machine, or in an index of its own.
        """
        for line in self.lines:
            if line.path or line.index:
                where = f"`{line.path}`" if line.path else "an index of its own"
                raise refused(
                    line.name or line.text,
                    f"it comes from {where}, which a container cannot use",
                    "build a zip instead",
                )
        return self.render()


def canonical(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(
    name: str,
    version: str,
    *,
    extras: Sequence[str] = (),
    marker: str = "",
    hashes: Sequence[str] = (),
    index: str = "",
) -> Line:
    """Return the line of a package from an index; `version` with its operator, empty for any."""
    text = f"{_with_extras(name, extras)}{version}" + (f" ; {marker}" if marker else "")
    return Line(text, canonical(name), tuple(hashes), index or None)


def direct(name: str, url: str, *, extras: Sequence[str] = (), marker: str = "", hashes: Sequence[str] = ()) -> Line:
    """Return the line of a package from a repository or from an archive's URL.

    Raises:
        CarboyError: the URL names no package.
    """
    url, _, fragment = url.partition("#")
    parts = [part for part in fragment.split("&") if part]
    egg = next((part[4:] for part in parts if part.startswith("egg=")), "")
    if not name and egg:
        name, _, given = egg.removesuffix("]").partition("[")
        extras = extras or [one.strip() for one in given.split(",") if one.strip()]
    kept = "&".join(part for part in parts if not part.startswith("egg="))
    is_wheel = urlsplit(url).path.endswith(".whl")
    if not name and is_wheel:
        name = unquote(urlsplit(url).path.rpartition("/")[2]).partition("-")[0]
    if not name:
        raise refused(_shown(url), "a URL does not say which package it holds", f"write `name @ {_shown(url)}`")
    text = f"{_with_extras(name, extras)} @ {url}" + (f"#{kept}" if kept else "") + (f" ; {marker}" if marker else "")
    path = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    return Line(text, canonical(name), tuple(hashes), is_source=not is_wheel, path=path)


def repository(
    name: str,
    url: str,
    reference: str,
    below: str = "",
    *,
    extras: Sequence[str] = (),
    marker: str = "",
    hashes: Sequence[str] = (),
) -> Line:
    """Return the line of a package from a git repository.

    Args:
        name: of the package.
        url: as git takes it, `git@host:owner/name.git` too, which installers do not.
        reference: a commit, tag or branch; empty for the default branch.
        below: the folder of the package in the repository.
        extras: of the package.
        marker: of the environment that it is for.
        hashes: of what may be installed.
    """
    url = url.removeprefix("git+")
    scp = re.fullmatch(r"((?:[\w.-]+@)?[\w.-]+):(?!//)/?(.+)", url)
    url = f"ssh://{scp[1]}/{scp[2]}" if scp else url
    text = f"git+{url}" + (f"@{reference}" if reference else "") + (f"#subdirectory={below}" if below else "")
    return direct(name, text, extras=extras, marker=marker, hashes=hashes)


def local(
    path: Path, *, name: str = "", extras: Sequence[str] = (), marker: str = "", hashes: Sequence[str] = ()
) -> Line:
    """Return the line of a folder, a wheel or a source archive on this machine.

    Raises:
        CarboyError: there is no such file.
    """
    path = path.resolve()
    if not path.exists():
        raise refused(name or str(path), f"there is no `{path}`", "correct the path in the file that names it")
    if path.is_dir():
        name = name or _project_name(path)
    elif not name:
        name = re.split(r"-(?=\d)|\.(?:tar|zip)", path.name, maxsplit=1)[0].partition("-")[0]
    if not name:  # the installer names what it cannot build
        return Line(str(path), is_source=True, path=path)
    return direct(name, path.as_uri(), extras=extras, marker=marker, hashes=hashes)


def refused(name: str, why: str, hint: str) -> CarboyError:
    """Return the error for a dependency whose source cannot be used."""
    return CarboyError(f"`{name}` cannot be installed", why, hint)


def from_table(name: str, table: Mapping[str, Any], folder: Path, indexes: Mapping[str, str]) -> Line:
    """Return the line of a dependency as Pipenv and uv write its source: `git`, `path`, `file`, `url`, `index`.

    Args:
        name: of the package.
        table: its entry; `version`, `extras`, `markers`, `hashes` as Pipenv has them.
        folder: of the file that holds the entry, for relative paths.
        indexes: the URL of each index by its name.

    Raises:
        CarboyError: the source cannot be used.
    """
    given: dict[str, Any] = {
        "extras": table.get("extras") or (),
        "marker": table.get("markers") or table.get("marker") or "",
        "hashes": table.get("hashes") or (),
    }
    if table.get("git"):
        reference = table.get("ref") or table.get("rev") or table.get("tag") or table.get("branch") or ""
        return repository(name, str(table["git"]), reference, table.get("subdirectory") or "", **given)
    where = table.get("path") or table.get("file") or table.get("url")
    if where and "://" in str(where) and not str(where).startswith("file:"):
        return direct(name, str(where), **given)
    if where:
        below = Path(unquote(urlsplit(where).path)) if str(where).startswith("file:") else Path(where)
        return local(folder / below, name=name, **given)
    if odd := next((key for key in ("hg", "svn", "bzr", "workspace") if table.get(key)), None):
        raise refused(name, f"its source is `{odd}`", "name it in a requirements file, or lock it with uv")
    index = table.get("index") or ""
    if index and index not in indexes and "://" not in index:
        raise refused(name, f"its index `{index}` is not declared", "declare it in the same file")
    version = str(table.get("version") or "")
    version = "" if version == "*" else version
    return pinned(name, version, index=indexes.get(index, index), **given)


def is_direct(text: str) -> bool:
    """Report whether a requirement is a bare URL."""
    return text.startswith(_VCS) or bool(re.match(r"[a-z][a-z0-9+.-]*://", text))


def _with_extras(name: str, extras: Sequence[str]) -> str:
    return f"{name}[{','.join(extras)}]" if extras else name


def _shown(url: str) -> str:
    """Return a URL without the login in it, but for `git@`, which is no secret."""
    return re.sub(r"//(?!git@)[^/@]*@", "//", url)


def _project_name(folder: Path) -> str:
    pyproject, config, script = (folder / name for name in ("pyproject.toml", "setup.cfg", "setup.py"))
    if pyproject.is_file():
        document = tomllib.loads(pyproject.read_text("utf-8"))
        name = document.get("project", {}).get("name") or document.get("tool", {}).get("poetry", {}).get("name")
        if name:
            return str(name)
    if config.is_file():
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(config.read_text("utf-8"))
        except ConfigParserError:
            return ""
        if parser.has_option("metadata", "name"):
            return parser.get("metadata", "name").strip()
    found = _SETUP_NAME.search(script.read_text("utf-8", "replace")) if script.is_file() else None
    return found[1] if found else ""
