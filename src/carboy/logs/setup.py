"""Set up the logs of a program, before anything else, so that a fault in its configuration is logged too."""

import logging
import os
import sys
from typing import IO, Any, Literal

from carboy.errors import ConfigurationError, Fault
from carboy.logs.log_lines import UnknownLevel, parse_level
from carboy.logs.log_output import MAX_CHARS, OUTPUT
from carboy.logs.loggers import configure_structlog
from carboy.logs.sinks import FileSink, StreamSink
from carboy.logs.stdlib import install_hooks, remove_hooks, replace_root_handlers, take_back_root


def setup(
    level: int | str = "INFO",
    format: Literal["json", "console"] | str | None = None,  # noqa: A002, PYI051 (the setting is LOG_FORMAT)
    stream: IO[Any] | None = None,
    file: str | os.PathLike[str] | None = None,
    file_max_bytes: int = 5_000_000,
    file_max_count: int = 5,
    *,
    max_chars: int = MAX_CHARS,
) -> None:
    """Write one line per event from now on: Carboy's, those of libraries, warnings and uncaught exceptions.

    The last call wins, for every logger made before and after. Handlers of the root logger that print to the terminal
    are removed, others stay and get every event too. structlog is configured where it is imported already and not
    configured; else see `configure_structlog`.

    Args:
        level: the least level that is written: a name in any case, or a number of `logging`.
        format: `json`, `console` (text for a person), or None: console when the stream is a terminal.
        stream: where lines go; None for the current `sys.stdout`.
        file: a file that gets every line too, always as JSON.
        file_max_bytes: how large the file grows before it is renamed to `<file>.1`; 0 for no bound.
        file_max_count: how many files there are in all.
        max_chars: how much text the values of one line may have; the rest is cut.

    Raises:
        ConfigurationError: the level or the format is unknown, or the file cannot be opened; nothing was changed.
    """
    faults: list[Fault] = []
    try:
        number = parse_level(level)
    except UnknownLevel as error:
        number = logging.NOTSET
        faults.append(Fault("LOG_LEVEL", error.why))
    if format not in {None, "", "json", "console"}:
        faults.append(Fault("LOG_FORMAT", "it is neither `json` nor `console`"))
    new_file = _open_file(file, file_max_bytes, file_max_count, faults) if file else None
    if faults:
        why = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)
        raise ConfigurationError("logs cannot be set up", why, "correct these settings", faults)
    if OUTPUT.file is not None:
        OUTPUT.file.close()
    OUTPUT.level, OUTPUT.max_chars, OUTPUT.file = number, max_chars, new_file
    OUTPUT.stream = StreamSink(stream)
    OUTPUT.is_console = format == "console" or (not format and OUTPUT.stream.is_terminal())
    OUTPUT.has_colour = not os.environ.get("NO_COLOR") and OUTPUT.stream.is_terminal()
    OUTPUT.is_set_up = True
    structlog = sys.modules.get("structlog")
    if structlog is not None and not structlog.is_configured():
        configure_structlog()
    replace_root_handlers(number)
    install_hooks()


def _open_file(file: str | os.PathLike[str], max_bytes: int, max_count: int, faults: list[Fault]) -> FileSink | None:
    try:
        return FileSink(os.fspath(file), max_bytes, max_count)
    except OSError as error:
        faults.append(Fault("LOG_FILE", f"it cannot be opened: {error.strerror}"))
        return None


def setup_root_logger(level: int | str = logging.DEBUG, stream: IO[Any] | None = None) -> None:
    """Set up the logs with a level and a stream, and the rest by default."""
    setup(level, stream=stream)


def reset() -> None:
    """Undo `setup`; for tests, which share a process."""
    if OUTPUT.file is not None:
        OUTPUT.file.close()
    OUTPUT.__init__()  # type: ignore[misc]  # the object stays the same: loggers refer to it
    remove_hooks()
    take_back_root()
