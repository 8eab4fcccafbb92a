"""Read `carboy.toml`, `.env` and files that hold a secret."""

import re
from pathlib import Path
from typing import Any

from carboy.errors import ConfigurationError

_MAX_SECRET_BYTES = 1_000_000
_NAME = re.compile(r"(?:export[ \t]+)?(?:'(?P<quoted>[^'\n]+)'|(?P<name>[^\s=#'\"]+))[ \t]*")
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\r|\Z)")
_LINE_BREAK = re.compile(r"[\r\n]")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_ESCAPES = {
    "n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "'": "'", "\\": "\\",
    "$": "$",
}  # fmt: skip


def find_toml(folder: Path, named: str | None) -> Path | None:
    """Return the `carboy.toml` to read: the one named (which must exist), else the folder's, else None."""
    if named:
        path = folder / named
        if not path.exists():
            raise ConfigurationError(
                f"`{named}` cannot be read", "CARBOY_TOML names it and it is not there", "correct CARBOY_TOML"
            )
        return path
    path = folder / "carboy.toml"
    return path if path.exists() else None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the document of a `carboy.toml`.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML; the line is named.
    """
    import tomllib  # many a service has its settings in its environment alone

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"`{path.name}` cannot be read", _why(error), "check --env-file") from error
    return parse_dotenv(text, path.name)


def parse_dotenv(text: str, source: str = ".env") -> dict[str, str]:
    r"""Return the names and raw values of `NAME=value` lines, read as python-dotenv reads them.

    `export` before a name, `#` comments (after white space), single quotes (`\'` and
    `\\` inside), double quotes (`\n`, `\t`, `\"`, `\\`, `\$` …), both over several lines. A name alone has no value and
    is left out. Nothing is expanded: `${NAME}` outside of single quotes is refused, as python-dotenv would expand it;
    write `\${NAME}` in double quotes.

    Raises:
        ConfigurationError: lines are not of that form; all are named by number, never shown.
    """
    found: dict[str, str] = {}
    bad: dict[str, list[str]] = {}
    text = text.removeprefix("\ufeff")
    at = 0
    while at < len(text):
        end = _line_end(text, at)
        row = text[at:end].strip()
        if row and not row.startswith("#"):
            try:
                name, value, end = _read_assignment(text, at)
                if "\0" in text[at:end]:
                    raise ValueError("a NUL, which no variable can hold")
                if value is not None:
                    found[name] = value
            except ValueError as error:
                line = len((text[:at] + ".").splitlines())
                bad.setdefault(str(error), []).append(str(line))
        at = end + 1
    if bad:
        why = "; ".join(f"line {', '.join(lines)}: {reason}" for reason, lines in bad.items())
        raise ConfigurationError(f"`{source}` cannot be read", why, "correct or quote them")
    return found


def _read_assignment(text: str, at: int) -> tuple[str, str | None, int]:
    """Return the name, the value (None for a name alone) and where the line ends; a ValueError says what is wrong."""
    while text[at] in " \t":
        at += 1
    head = _NAME.match(text, at)
    if head is None:
        raise ValueError("not NAME=value")
    name, at = head["quoted"] or head["name"], head.end()
    if text[at : at + 1] != "=":
        if _REST.match(text, at) is None:
            raise ValueError("not NAME=value")
        return name, None, _line_end(text, at)
    start = at = at + 1
    while text[at : at + 1] in {" ", "\t"}:
        at += 1
    quote = text[at : at + 1]
    if quote not in {"'", '"'}:
        end = _line_end(text, at)
        bare = re.sub(r"\s+#.*", "", text[start:end]).strip()
        if _VARIABLE.search(bare):
            raise ValueError("`${…}` is not expanded: write the value itself, or quote it with '…'")
        return name, bare, end
    found = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
    if found is None:
        raise ValueError("the quote is not closed")
    if _REST.match(text, found.end()) is None:
        raise ValueError("text after the closing quote")
    if quote == "'":
        return name, re.sub(r"\\(['\\])", r"\1", found[1]), _line_end(text, found.end())
    if _VARIABLE.search(re.sub(r"\\.", "", found[1], flags=re.DOTALL)):
        raise ValueError("`${…}` is not expanded: write the value itself, or quote it with '…'")
    return name, re.sub(r"\\(.)", _unescape, found[1], flags=re.DOTALL), _line_end(text, found.end())


def _line_end(text: str, at: int) -> int:
    found = _LINE_BREAK.search(text, at)
    return found.start() if found else len(text)


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


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _why(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not text in UTF-8"
