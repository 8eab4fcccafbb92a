"""Read `carboy.toml`, `.env` and files that hold a secret."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carboy.errors import ConfigurationError

__all__ = ["find_toml", "parse_dotenv", "read_dotenv", "read_secret_file", "read_toml"]

_MAX_SECRET_BYTES = 1_000_000
_LINE = re.compile(
    r"""
    [ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\r\n]*?))
    [ \t]*(?:(?<=\s)\#[^\r\n]*)?(?=\r?\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def find_toml(folder: Path, named: str | None) -> Path | None:
    """Return the `carboy.toml` to read: the one named (which must exist), else the folder's, else None."""
    if named:
        path = folder / named
        if not path.is_file():
            raise ConfigurationError(
                f"`{named}` cannot be read", "CARBOY_TOML names it and it is not there", "correct CARBOY_TOML"
            )
        return path
    path = folder / "carboy.toml"
    return path if path.is_file() else None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the document of a `carboy.toml`.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML; the line is named.
    """
    import tomllib  # many a service has its settings in its environment alone

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"`{path.name}` cannot be read", _why(error), "check the path and its mode") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"`{path.name}` is not TOML", str(error), "correct that line") from error


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the names and raw values of a `.env` file.

    Raises:
        ConfigurationError: it cannot be read, or a line is not `NAME=value`; every bad line is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"`{path.name}` cannot be read", _why(error), "check --env-file") from error
    return parse_dotenv(text, path.name)


def parse_dotenv(text: str, source: str = ".env") -> dict[str, str]:
    r"""Return the names and raw values of `NAME=value` lines.

    `export` before a name, `#` comments (after white space), single quotes (nothing is special inside) and double
    quotes (several lines, `\n`, `\t`, `\"`, `\\`, `\$`) are understood; nothing is expanded.

    Raises:
        ConfigurationError: lines are not of that form; all are named by number, never shown.
    """
    found: dict[str, str] = {}
    bad = []
    for line, match in _statements(text):
        if match is None:
            bad.append(line)
        elif match["single"] is not None:
            found[match["name"]] = match["single"]
        elif match["double"] is not None:
            found[match["name"]] = re.sub(r"\\(.)", _unescape, match["double"], flags=re.DOTALL)
        else:
            found[match["name"]] = re.sub(r"\s+#.*", "", match["bare"]) if not match["bare"].startswith("#") else ""
    if bad:
        lines = ", ".join(str(line) for line in bad)
        raise ConfigurationError(f"`{source}` cannot be read", f"line {lines}: not NAME=value", "correct or quote them")
    return found


def read_secret_file(path: Path) -> str:
    """Return the text of a file that holds one secret, without the line break at its end.

    Raises:
        ConfigurationError: it is not there, not readable, not text or over 1 MB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
        if len(data) > _MAX_SECRET_BYTES:
            raise ConfigurationError(f"`{path}` cannot be used", "it is over 1 MB", "name the file with the secret")
        return data.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"`{path}` cannot be read", _why(error), "check the path and its mode") from error


def _statements(text: str) -> Iterator[tuple[int, re.Match[str] | None]]:
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        row = text[at:end].strip()
        if not row or row.startswith("#"):
            at, line = end + 1, line + 1
            continue
        match = _LINE.match(text, at)
        yield line, match
        stop = end if match is None else max(match.end(), at)
        stop = text.find("\n", stop)
        stop = len(text) if stop < 0 else stop
        line += text.count("\n", at, stop) + 1
        at = stop + 1


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _why(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not text in UTF-8"
