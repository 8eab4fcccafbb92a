"""Read requirements files as pip does: encodings, comments, continued lines, variables, included files, paths.

Source: pip's documentation, "Requirements File Format".
"""

import codecs
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from carboy.bundle.lines import Line, canonical, direct, is_direct, local, refused
from carboy.config.environ import read_environ

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OPTION = re.compile(r"(--[a-z-]+|-[a-zA-Z])(?:\s+|=|)(.*)", re.DOTALL)
_HASH = re.compile(r"\s--hash[=\s]\s*(\S+)")
_BUILD_OPTION = re.compile(r"\s--(?:config-settings?|global-option|install-option)\b")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*(?:(@)\s*(.+)|(.*))", re.DOTALL)
_FILES = {"-f": "--find-links", "-c": "--constraint", "-r": "--requirement", "-e": "--editable"}
_INDEXES = ("-i", "--index-url", "--extra-index-url", "--pypi-url")


def parse_file(path: Path, seen: frozenset[Path] = frozenset()) -> list[Line]:
    """Return the lines of a requirements file, with those of the files that it includes in their place.

    Args:
        path: the file.
        seen: the files that include it, which are not read again.

    Raises:
        CarboyError: it names a file that is not there, or a package whose source cannot be used.
    """
    lines: list[Line] = []
    for text in _logical_lines(_decode(path.read_bytes())):
        option, value = _option(text)
        if option == "--requirement" and "://" not in value:
            other = (path.parent / value).resolve()
            if not other.is_file():
                raise refused(value, f"`{path}` includes `{other}`, which is not there", "correct the path")
            if other not in seen | {path.resolve()}:
                lines += parse_file(other, seen | {path.resolve()})
        else:
            lines.append(parse_line(text, path.parent))
    return lines


def parse_line(text: str, folder: Path) -> Line:
    """Return one line of a requirements file, with its paths, which are relative to a folder, made absolute.

    Raises:
        CarboyError: it names a package whose source cannot be used.
    """
    option, value = _option(text)
    if option == "--editable":
        return _requirement(value, folder)
    if option:
        is_file = option in {"--find-links", "--constraint"} or (text.startswith(_INDEXES) and value.startswith("."))
        if is_file and "://" not in value and (folder / value).exists():
            absolute = (folder / value).resolve()
            return Line(f"{text[: len(text) - len(value)]}{absolute}", path=absolute)
        return Line(text)
    return _requirement(text, folder)


def _decode(data: bytes) -> str:
    """Return a file's text by its byte order mark, its coding comment, as UTF-8, else as Latin-1."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding)
    declared = _CODING.search(b"\n".join(data.splitlines()[:2]))
    for encoding in (declared[1].decode("ascii") if declared else "utf-8", "utf-8"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines with continued ones joined, comments dropped and variables replaced; no empty ones."""
    parts: list[str] = []
    for raw in [*text.splitlines(), ""]:
        is_comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not is_comment and not _COMMENT.search(raw):
            parts.append(raw[:-1])
            continue
        joined = "".join([*parts, " " + raw if is_comment and parts else raw])
        parts.clear()
        line = re.sub(r"\s+", " ", _COMMENT.sub("", joined)).strip()
        if line:
            environ = read_environ()
            yield _VARIABLE.sub(lambda found: environ.get(found[1]) or found[0], line)  # noqa: B023 — used at once


def _option(text: str) -> tuple[str, str]:
    """Return a line's option in its long form and its value; empty for a requirement."""
    found = _OPTION.fullmatch(text) if text.startswith("-") else None
    if found is None:
        return "", ""
    value = found[2].strip()
    if value[:1] in {'"', "'"}:
        value = " ".join(shlex.split(value))
    return _FILES.get(found[1], found[1]), value


def _requirement(text: str, folder: Path) -> Line:
    hashes = tuple(_HASH.findall(text))
    text = _BUILD_OPTION.split(_HASH.sub("", text), maxsplit=1)[0].strip()
    requirement, _, marker = text.partition(" ;") if "://" in text else text.partition(";")
    requirement, marker = requirement.strip(), marker.strip()
    path, extras = _path(requirement, folder)
    if path is not None:
        return local(path, extras=extras, marker=marker, hashes=hashes)
    if is_direct(requirement):
        return direct("", requirement, marker=marker, hashes=hashes)
    named = _NAMED.fullmatch(requirement)
    if named and named[3]:
        extras, url = _split(named[2]), named[4].strip()
        if url.startswith("file:") or ("://" not in url and (folder / url).exists()):
            below = unquote(urlsplit(url).path) if url.startswith("file:") else url
            return local(folder / below, name=named[1], extras=extras, marker=marker, hashes=hashes)
        return direct(named[1], url, extras=extras, marker=marker, hashes=hashes)
    return Line(text, canonical(named[1]) if named else "", hashes)


def _path(requirement: str, folder: Path) -> tuple[Path | None, list[str]]:
    """Return the local path that a requirement is, if it is one, and its extras."""
    if requirement.startswith("file:"):
        requirement = unquote(urlsplit(requirement.partition("#")[0]).path)
    bare = re.fullmatch(r"(.*?)\[([A-Za-z0-9,._ -]*)\]", requirement)
    where, extras = (bare[1], _split(bare[2])) if bare else (requirement, [])
    looks_local = where.startswith((".", "/", "~")) or (
        "/" in where and "@" not in where and "://" not in where and (folder / where).exists()
    )
    is_archive = where.endswith((".whl", ".tar.gz", ".zip")) and "://" not in where and " @ " not in where
    return (folder / Path(where).expanduser(), extras) if looks_local or is_archive else (None, [])


def _split(extras: str | None) -> list[str]:
    return [extra.strip() for extra in (extras or "").split(",") if extra.strip()]
