"""What libraries say through `logging` and `warnings` comes in the very same lines."""

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
from tests.logs.kit import Lines

from carboy import logs

lib = logging.getLogger("lib.sub")


@pytest.fixture
def only_ours() -> Iterator[Callable[[], None]]:
    """What leaves only our handler: pytest's own raise where `logging` prints, and come back with each phase."""

    def leave() -> None:
        lib.handlers, lib.propagate = [logs.LineHandler()], False

    yield leave
    lib.handlers, lib.propagate = [], True


def test_a_library_s_record_is_a_line_in_carboys_form(lines: Lines) -> None:
    """Level, name, message with its arguments, `extra=`, in the same order."""
    with logs.request_context("r-1"):
        lib.warning("took %d ms", 12, extra={"order_id": 17, "level": "x"})

    assert list(lines.last) == ["ts", "level", "logger", "event", "request_id", "order_id", "level_"]
    assert lines.last == lines.last | {
        "level": "warning",
        "logger": "lib.sub",
        "event": "took 12 ms",
        "request_id": "r-1",
        "order_id": 17,
    }


def test_a_library_s_exception_is_logged_in_carboys_form(lines: Lines, only_ours: Callable[[], None]) -> None:
    """Also one that another handler has made text of."""
    only_ours()
    try:
        raise KeyError("k")
    except KeyError:
        lib.exception("failed")
    lib.handle(logging.makeLogRecord({"msg": "x", "exc_text": "Traceback: token=abc", "levelno": 40}))

    first, second = lines.read_all
    assert first["exception"]["type"] == "KeyError"
    assert second["exception"] == "Traceback: token=***"


def test_wrong_arguments_are_shown_and_not_raised(lines: Lines, only_ours: Callable[[], None]) -> None:
    """`logging` prints a traceback to stderr; a line is of more use."""
    only_ours()

    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    lib.info("%d items", "no number")
    lib.info("%s", Hostile())
    lib.info(ValueError("x"))
    lib.log(5, "below debug")
    lib.log(60, "above critical")

    assert [(one["level"], one["event"]) for one in lines.read_all] == [
        ("info", "%d items ['no number']"),
        ("info", "%s ['<Hostile that cannot be shown: RuntimeError>']"),
        ("info", "x"),
        ("critical", "above critical"),
    ]


def test_levels_of_single_loggers_hold(lines: Lines) -> None:
    """A loud library can be made quiet as ever."""
    logging.getLogger("loud").setLevel(logging.ERROR)
    logging.getLogger("loud").warning("x")
    logging.getLogger("loud").error("y")

    assert [one["event"] for one in lines.read_all] == ["y"]


def test_warnings_are_lines(lines: Lines) -> None:
    """With their category and place."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.setup("DEBUG", "json", lines)
        warnings.warn("old\nthing", UserWarning, stacklevel=1)

    assert lines.last == lines.last | {"logger": "py.warnings", "event": "old\nthing", "category": "UserWarning"}
    assert "test_stdlib.py:" in lines.last["place"]


def test_other_handlers_of_the_root_logger_get_our_events_too(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """A log service's handler, or pytest's own, misses nothing; it gets the facts, masked."""
    logs.get_logger("app").warning("order_shipped", order_id=17, password="p", name="n")

    record = caplog.records[-1]
    assert (record.name, record.levelname, record.getMessage()) == ("app", "WARNING", "order_shipped")
    assert (vars(record)["order_id"], vars(record)["password"]) == (17, "***")
    assert json.loads(logs.LineFormatter().format(record)) == lines.last


def test_setup_takes_the_place_of_handlers_that_print() -> None:
    """Else each line would come twice; other handlers stay, and setting up twice adds none."""
    logging.root.handlers.clear()
    printing, other = logging.StreamHandler(sys.stderr), logging.NullHandler()
    logging.root.addHandler(printing)
    logging.root.addHandler(other)

    logs.setup("INFO", "json", Lines())
    logs.setup("INFO", "json", Lines())

    assert printing not in logging.root.handlers
    assert other in logging.root.handlers
    assert len(logging.root.handlers) == 2


def test_the_line_formatter_writes_our_line() -> None:
    """For handlers that send lines elsewhere; no secret is in it."""
    record = logging.makeLogRecord({"name": "lib", "levelno": 30, "msg": "a\n%s", "args": ("token=abc",), "k": 1})

    line = logs.LineFormatter().format(record)

    assert "\n" not in line
    assert json.loads(line) == json.loads(line) | {"level": "warning", "event": "a\ntoken=***", "k": 1}


UNCAUGHT = """
import sys, threading
from carboy import logs
logs.setup("INFO", "json")
thread = threading.Thread(target=lambda: 1 / 0, name="t-1")
thread.start()
thread.join()
raise KeyError("token=abc")
"""


def test_an_exception_that_was_not_caught_is_a_line() -> None:
    """Of a thread and of the program; not a traceback on stderr, which could hold anything."""
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False)

    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (1, "")
    assert (first["event"], first["thread"]) == ("uncaught_exception", "t-1")
    assert first["exception"]["type"] == "ZeroDivisionError"
    assert (second["level"], second["exception"]["message"]) == ("critical", "'token=***'")


def test_an_excepthook_of_another_tool_stays() -> None:
    """An error reporter that was set up before goes on reporting."""
    code = "import sys; sys.excepthook = print; from carboy import logs; logs.setup(); print(sys.excepthook is print)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    "handler", [logs.LineHandler(), logs.RetryHandler(logging.NullHandler())], ids=["lines", "retry"]
)
def test_its_lock_is_free_to_take_again(handler: logging.Handler) -> None:
    """`logging` locks since Python 3.13 without being asked; several threads use it at once."""
    assert handler.lock is not None
    with handler.lock, handler.lock:
        handler.acquire()
        handler.release()
