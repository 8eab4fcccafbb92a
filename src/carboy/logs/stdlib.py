"""Write records of `logging`, warnings and uncaught exceptions as log lines."""

import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Any, TextIO

from carboy.logs.clean_values import fill
from carboy.logs.log_lines import level_name
from carboy.logs.log_output import OF_A_RECORD, OUTPUT
from carboy.redact import MASK

_OF_EVERY_RECORD = OF_A_RECORD | {"taskName", "carboy_line"}


def deliver_waiting() -> None:
    """Wait until every `RetryHandler` of the root logger has delivered what it holds, or given it up."""
    for handler in logging.root.handlers:
        if getattr(handler, "delivers_later", False):
            handler.flush()


class UnlockedHandler(logging.Handler):
    """A handler without a lock: a thread that logs does not wait for another."""

    def createLock(self) -> None:  # noqa: N802 (the name is logging's)
        """Create what any number of threads have at once; `logging` always takes a lock since 3.13."""
        self.lock: Any = nullcontext()

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""


class LineHandler(UnlockedHandler):
    """Writes records as lines; `setup` puts one on the root logger. The sinks have locks of their own."""

    writes_carboy_lines = True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line; never raises."""
        OUTPUT.emit(level_name(record.levelno), record.name, message_of(record), facts_of(record))


class LineFormatter(logging.Formatter):
    """Formats a record as its line, for handlers that send lines elsewhere."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end."""
        made = getattr(record, "carboy_line", None)
        if isinstance(made, str):
            return made
        line = OUTPUT.render(level_name(record.levelno), record.name, message_of(record), facts_of(record))
        return line.decode().rstrip("\n")


def message_of(record: logging.LogRecord) -> str:
    """Return the record's message; containers among its arguments are masked by their keys first."""
    try:
        text = str(record.msg)
    except Exception:  # noqa: BLE001 (any object can be a message)
        text = f"<{type(record.msg).__name__}>"
    text = fill(text, record.args) if record.args else text
    if str(record.name).startswith("urllib3."):  # it logs whole URLs at DEBUG, whose queries hold what is sent
        text = re.sub(r"\?[^\s\"']*", f"?{MASK}", text)
    return text


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what `extra=` brought, and the exception and the stack if there are any."""
    facts = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    if record.exc_info:
        facts["exc_info"] = record.exc_info
    elif record.exc_text:
        facts["exception"] = record.exc_text
    if record.stack_info:
        facts["stack_info"] = record.stack_info
    return facts


def replace_root_handlers(level: int) -> None:
    """Put our handler on the root logger; those that print to the terminal, or that Lambda put there, go."""
    root = logging.root
    for handler in root.handlers[:]:
        if _prints(handler):
            root.removeHandler(handler)
    root.addHandler(LineHandler())
    root.setLevel(level)


def take_back_root() -> None:
    """Undo `replace_root_handlers`, but for the handlers that it removed."""
    for handler in logging.root.handlers[:]:
        if isinstance(handler, LineHandler):
            logging.root.removeHandler(handler)
    logging.root.setLevel(logging.WARNING)


def _prints(handler: logging.Handler) -> bool:
    if isinstance(handler, LineHandler):
        return True
    if type(handler) is logging.StreamHandler:
        return handler.stream in {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}
    return type(handler).__module__.partition(".")[0] in {"awslambdaric", "bootstrap"}


def install_hooks() -> None:
    """Write warnings and uncaught exceptions as log lines."""
    if warnings.showwarning is not _show_warning:
        warnings.showwarning = _show_warning
    if sys.excepthook is sys.__excepthook__:  # one that another tool has put there stays
        sys.excepthook = _log_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_uncaught_in_thread


def remove_hooks() -> None:
    """Undo `install_hooks`."""
    if warnings.showwarning is _show_warning:
        warnings.showwarning = _ORIGINAL_SHOWWARNING
    if sys.excepthook is _log_uncaught:
        sys.excepthook = sys.__excepthook__
    if threading.excepthook is _log_uncaught_in_thread:
        threading.excepthook = threading.__excepthook__


_ORIGINAL_SHOWWARNING: Callable[..., None] = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if file is not None:
        _ORIGINAL_SHOWWARNING(message, category, filename, lineno, file, line)
    else:
        facts = {"category": category.__name__, "place": f"{filename}:{lineno}"}
        OUTPUT.emit("warning", "py.warnings", str(message), facts)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        OUTPUT.emit("critical", "root", "uncaught_exception", {"exc_info": error})
    else:  # Ctrl-C is not an event of the service
        sys.__excepthook__(kind, error, trace)


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        thread = args.thread.name if args.thread else None
        OUTPUT.emit("critical", "root", "uncaught_exception", {"thread": thread, "exc_info": args.exc_value})
