"""One event is one line, in one form."""

import collections
import datetime
import decimal
import enum
import io
import json
import logging
import pathlib
import pickle
import re
import subprocess
import sys
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from tests.logs.kit import Lines

from carboy import logs
from carboy.errors import CarboyError, ConfigurationError
from carboy.logs.log_lines import timestamp

log = logs.get_logger("app.orders")  # made at import, before any setup, as modules do


def test_a_line_has_its_fields_in_order(lines: Lines) -> None:
    """Time, level, logger, event, request id, then the facts as they were given."""
    with logs.request_context("r-1", tenant="t"):
        log.info("order_shipped", order_id=17, late=False, by=None, price=1.5)

    assert list(lines.last) == [
        "ts", "level", "logger", "event", "request_id", "tenant", "order_id", "late", "by", "price",
    ]  # fmt: skip
    assert lines.last == lines.last | {
        "level": "info",
        "logger": "app.orders",
        "event": "order_shipped",
        "request_id": "r-1",
        "order_id": 17,
        "late": False,
        "by": None,
        "price": 1.5,
    }


def test_the_time_is_rfc_3339_in_utc_with_microseconds(lines: Lines) -> None:
    """Also when the microseconds are zero, and before the epoch."""
    log.info("x")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lines.last["ts"])
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(lines.last["ts"])
    assert abs(age.total_seconds()) < 60
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(1_700_000_000_000_001_999) == "2023-11-14T22:13:20.000001Z"
    assert timestamp(-1_000) == "1969-12-31T23:59:59.999999Z"


def test_each_level_has_its_name(lines: Lines) -> None:
    """Also by structlog's and logging's other names."""
    for method in (log.debug, log.info, log.msg, log.warning, log.warn, log.error, log.err, log.critical, log.fatal):
        method("x")
    for level in (10, "INFO", 25, logging.ERROR, 60):
        log.log(level, "x")

    assert [line["level"] for line in lines.read_all] == [
        "debug", "info", "info", "warning", "warning", "error", "error", "critical", "critical",
        "debug", "info", "info", "error", "critical",
    ]  # fmt: skip


def test_what_is_below_the_level_is_not_written() -> None:
    """A logger made before follows each setup."""
    stream = Lines()
    logs.setup("warning", "json", stream)
    log.info("a")
    log.log(20, "b")
    log.warning("c")
    logs.setup(logging.ERROR, "json", stream)
    log.warning("d")
    log.error("e")

    assert [line["event"] for line in stream.read_all] == ["c", "e"]
    assert not log.is_enabled_for(logging.WARNING)
    assert log.get_effective_level() == logging.ERROR


def test_facts_are_bound_to_a_logger(lines: Lines) -> None:
    """`bind` adds for good, `new` starts over, `unbind` removes, as structlog has them."""
    bound = log.bind(a=1, b=2)
    bound.info("x", b=3)
    bound.unbind("a").info("y")
    bound.try_unbind("zz").new(c=4).info("z")
    log.info("plain")

    assert [{k: v for k, v in line.items() if k in "abc"} for line in lines.read_all] == [
        {"a": 1, "b": 3},
        {"b": 2},
        {"c": 4},
        {},
    ]


def test_a_logger_survives_pickling(lines: Lines) -> None:
    """Objects that hold one can be sent to another process."""
    pickle.loads(pickle.dumps(log.bind(a=1))).info("x")  # noqa: S301

    assert (lines.last["logger"], lines.last["a"]) == ("app.orders", 1)


def test_structlogs_own_loggers_write_the_same_lines(lines: Lines) -> None:
    """Libraries that call `structlog.get_logger()`, and facts bound by structlog's contextvars."""
    structlog.contextvars.bind_contextvars(via="structlog", password="p")
    try:
        structlog.get_logger("lib").info("hello", a=1)
        structlog.get_logger().info("hello")
    finally:
        structlog.contextvars.clear_contextvars()

    first, second = lines.read_all
    assert first == first | {"logger": "lib", "event": "hello", "via": "structlog", "password": "***", "a": 1}
    assert second["logger"] == "root"


def test_structlog_is_not_imported_and_can_be_configured(tmp_path: pathlib.Path) -> None:
    """It is no dependency; a program that uses it says so, and its lines are the same. No import hook is left."""
    program = (
        "import sys\n"
        "before = list(sys.meta_path)\n"
        "from carboy import logs\n"
        "logs.setup('INFO', 'json')\n"
        "logs.get_logger('ours').bind(a=1).info('first')\n"
        "assert 'structlog' not in sys.modules and sys.meta_path == before\n"
        "logs.configure_structlog()\n"
        "import structlog\n"
        "structlog.get_logger('lib').info('second')\n"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)

    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(line["logger"], line["event"]) for line in found] == [("ours", "first"), ("lib", "second")]


def test_structlogs_capture_works_on_our_loggers(lines: Lines) -> None:
    """What people know from their tests."""
    with structlog.testing.capture_logs() as captured:
        log.bind(a=1).warning("x", b=2)
    log.info("after")

    assert captured == [{"a": 1, "b": 2, "event": "x", "log_level": "warning"}]
    assert [line["event"] for line in lines.read_all] == ["after"]


def test_events_can_be_awaited(lines: Lines) -> None:
    """Structlog's async names do the same."""
    import asyncio

    asyncio.run(log.ainfo("x", a=1))

    assert (lines.last["event"], lines.last["a"]) == ("x", 1)


def test_arguments_fill_the_event(lines: Lines) -> None:
    """As in `logging`; wrong ones are shown, not raised."""
    log.info("%s of %d", "a", 2)
    log.info("%(n)s", {"n": 1})
    log.info("%d", "no number")
    log.info("100 %", "x")

    assert [line["event"] for line in lines.read_all] == ["a of 2", "1", "%d ['no number']", "100 % ['x']"]


def test_a_fact_cannot_take_the_place_of_a_fixed_field(lines: Lines) -> None:
    """Otherwise a client that controls a field's name could forge level or time."""
    log.info("x", level="critical", ts="0", logger="root")
    with logs.request_context("r", level="debug"):
        logging.getLogger("lib").info("y", extra={"event": "z"})

    first, second = lines.read_all
    assert (first["level"], first["level_"], first["ts_"], first["logger_"]) == ("info", "critical", "0", "root")
    assert (second["level"], second["level_"], second["event"], second["event_"]) == ("info", "debug", "y", "z")


class Colour(enum.Enum):
    RED = "red"


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Chatty:
    def __repr__(self) -> str:
        log.info("asked", me=self)
        return "<chatty>"


@dataclass
class Order:
    id: int
    password: str = "p"
    hidden: str = field(default="h", repr=False)


class Struct(msgspec.Struct):
    id: int
    token: str = "t"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**70), str(-(2**70))),
        pytest.param(1 << 100_000, "<int of 100001 bits>", id="enormous"),
        (b"a\xff\n", "a\\xff\n"),
        (bytearray(b"ab"), "ab"),
        (memoryview(b"ab"), "ab"),
        ("a\ud800b", "a\\ud800b"),
        ({1: "a", None: "b", (2, 3): "c", b"k": 1}, {"1": "a", "None": "b", "[2, 3]": "c", "k": 1}),
        ((1, {2}, deque([3])), [1, [2], [3]]),
        (OrderedDict(a=[frozenset()]), {"a": [[]]}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.Path("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (http := logging.INFO, http),
        (Odd(), "<odd>"),
        (Order(1), {"id": 1, "password": "***"}),
        (Struct(1), {"id": 1, "token": "***"}),
        (ValueError("x"), "ValueError: x"),
        (Hostile(), "<Hostile that cannot be shown: RuntimeError>"),
    ],
)
def test_any_value_is_shown(lines: Lines, value: Any, shown: Any) -> None:
    """What JSON has no form for is shown as text, alone and nested; nothing raises."""
    log.info("x", v=value, deep=[{"v": value}])

    assert lines.last["v"] == shown
    assert lines.last["deep"] == [{"v": shown}]


def test_a_value_whose_repr_logs_itself_comes_to_an_end(lines: Lines) -> None:
    """It is named instead, the second time."""
    log.info("x", me=Chatty())

    assert [(line["event"], line["me"]) for line in lines.read_all] == [("asked", "<Chatty>"), ("x", "<chatty>")]


def test_a_value_that_holds_itself_comes_to_an_end(lines: Lines) -> None:
    """Depth is bounded, and so is the number of items."""
    endless: list[Any] = []
    endless.extend([endless] * 50)
    log.info("x", v=endless)

    assert "that is too deep" in json.dumps(lines.last)
    assert len(json.dumps(lines.last)) < 100_000


def test_a_value_whose_class_cannot_be_told_does_not_lose_the_line(lines: Lines) -> None:
    """A proxy object whose target is gone, say."""

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise ReferenceError("weakly-referenced object no longer exists")

    log.info("x", v=Proxy(), after=1)

    assert lines.last["after"] == 1
    assert "cannot be shown" in lines.last["v"]


def test_a_line_has_no_more_than_a_thousand_facts(lines: Lines) -> None:
    """A dict that came from outside, and was passed as facts."""
    log.info("x", **{f"fact{number}": "x" * 50 for number in range(5000)})

    assert len(lines.last) < 1010
    assert lines.last["…"] == "[5000 facts]"


def test_huge_values_are_cut() -> None:
    """To the size given to setup, and the line says what was left out."""
    stream = Lines()
    logs.setup("INFO", "json", stream, max_chars=1000)
    log.info("x", v="ä" * 50_000, after="whole")
    log.info("y", v=list(range(5000)))
    log.info("z", v=b"b" * 50_000)
    log.info("e" * 2000)

    first, second, third, fourth = stream.read_all
    assert first["v"].endswith("…[50000 characters]")
    assert len(first["v"]) < 1100
    assert second["v"][-1] == "…[5000 items]"
    assert third["v"].endswith("…[50000 bytes]")
    assert fourth["event"].endswith("…[2000 characters]")


def test_an_exception_is_logged_as_facts(lines: Lines) -> None:
    """Type, message and stack, of its causes too, on the one line."""
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            error = CarboyError("the order could not be read", "it is gone", "look in the archive")
            error.add_note("a note")
            raise error from cause
    except CarboyError:
        log.exception("order_failed", order_id=1)

    told = lines.last["exception"]
    assert lines.last["level"] == "error"
    assert told["type"] == "carboy.errors.CarboyError"
    assert told["message"] == "the order could not be read: it is gone"
    assert (told["hint"], told["notes"]) == ("look in the archive", ["a note"])
    assert re.fullmatch(
        r".*test_lines\.py:\d+ in test_an_exception_is_logged_as_facts: raise error from cause", told["stack"][-1]
    )
    assert (told["cause"]["type"], told["cause"]["message"]) == ("KeyError", "'k'")


def test_an_exception_can_be_given_in_each_way(lines: Lines) -> None:
    """As True, as the exception, as a tuple; True without an exception is not an error."""
    error = ValueError("x")
    log.error("a", exc_info=error)
    log.error("b", exc_info=(ValueError, error, None))
    log.error("c", exc_info=True)  # noqa: LOG014 (there is none)
    try:
        raise error
    except ValueError:
        log.error("d", exc_info=True)  # noqa: G201

    assert [line.get("exception", {}).get("type") for line in lines.read_all] == [
        "ValueError", "ValueError", None, "ValueError",
    ]  # fmt: skip


def test_an_endless_recursion_and_a_group_fit_a_line(lines: Lines) -> None:
    """The middle of a deep stack is left out; a group shows its first members; circles of causes end."""

    def recurse() -> None:
        recurse()

    try:
        recurse()
    except RecursionError:
        log.exception("x")
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    log.error("y", exc_info=ExceptionGroup("several", [one, TypeError("t")]))

    first, second = lines.read_all
    assert any(frame.startswith("… 9") for frame in first["exception"]["stack"])
    assert len(first["exception"]["stack"]) == 51
    assert [e["message"] for e in second["exception"]["exceptions"]] == ["1", "t"]
    assert second["exception"]["exceptions"][0]["cause"]["message"] == "2"


def test_a_stack_can_be_asked_for(lines: Lines) -> None:
    """`stack_info=True` shows how one came here, without our own frames."""
    log.info("x", stack_info=True)
    logging.getLogger("lib").info("y", stack_info=True)

    assert all("test_a_stack_can_be_asked_for" in line["stack"] for line in lines.read_all)
    assert "carboy/logs/loggers" not in lines.read_all[0]["stack"]


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.dates()
    | st.decimals()
    | st.uuids()
    | st.builds(Hostile)
)
_keys = st.text(st.characters(exclude_categories=())) | st.integers() | st.none() | st.binary()
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys, inner) | st.tuples(inner), max_leaves=8
)


@example(event="x", facts={"__dict__": None, "__class__": 1, "levelno": "x", "args": 3})
@given(event=st.text(st.characters(exclude_categories=())), facts=st.dictionaries(st.text(), _values, max_size=4))
def test_whatever_is_logged_is_one_line_of_json(event: str, facts: dict[str, Any]) -> None:
    """Any event and any facts, by either way in; never an error."""
    stream = Lines()
    logs.setup("DEBUG", "json", stream)
    facts.pop("event", None)
    facts.pop("self", None)
    facts.pop("exc_info", None)

    log.info(event, **facts)
    logging.getLogger("lib").warning("%s", event)

    first, second = stream.read_all
    assert first["level"] == "info"
    assert second["logger"] == "lib"
    assert not re.search("[\x00-\x09\x0b-\x1f\x80-\x9f\u2028-\u202e\u2066-\u2069]", stream.getvalue())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_plain_text_comes_back_as_it_went(text: str) -> None:
    """What holds no secret is not touched on the way."""
    stream = Lines()
    logs.setup("DEBUG", "json", stream)
    text = text.replace(":", "").replace("=", "")

    log.info("x", v=text)

    assert stream.last["v"] == text


def test_before_setup_lines_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that sets up nothing still reads its events."""
    log.info("early", a=1)

    assert json.loads(capsys.readouterr().out) | {"event": "early", "a": 1} != {}


def test_a_stream_of_bytes_will_do() -> None:
    """Such as a file opened in binary mode."""
    stream = io.BytesIO()
    logs.setup("INFO", "json", stream)
    log.info("ä")

    assert json.loads(stream.getvalue())["event"] == "ä"


def test_pairs_and_rows_are_masked_by_their_names(lines: Lines) -> None:
    """Headers come as pairs, rows as named tuples; in lists of them as well, and in the arguments of `logging`."""
    Row = collections.namedtuple("Row", "id password")  # noqa: PYI024
    pairs = [("Authorization", "Basic x"), ["X-Api-Key", "k3y"], (b"cookie", b"c00kie"), ("accept", "*/*")]

    log.info("called", headers=pairs, row=Row(1, "pa55"), rows=[Row(2, "pa56")], is_set=("token", True))
    logging.getLogger("lib").warning("called %s %s", pairs, Row(3, "pa57"))

    for line in lines.read_all:
        for secret in ("Basic x", "k3y", "c00kie", "pa55", "pa56", "pa57"):
            assert secret not in json.dumps(line)
    assert lines.read_all[0]["row"] == [1, "***"]
    assert ["accept", "*/*"] in lines.read_all[0]["headers"]
    assert lines.read_all[0]["is_set"] == ["token", True]


def test_urls_that_urllib3_logs_have_no_query(lines: Lines) -> None:
    """At DEBUG it writes whole URLs: numbers, codes and signatures stand in their queries."""
    logging.getLogger("urllib3.connectionpool").debug(
        '%s://%s:%s "%s %s %s" %s %s', "https", "sms.test", 443, "POST", "/?Phone=13812345678&c=9", "HTTP/1.1", 200, 2
    )

    assert lines.last["event"] == 'https://sms.test:443 "POST /?*** HTTP/1.1" 200 2'


class _Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise RuntimeError("no cause")


class _Note:
    def __str__(self) -> str:
        raise RuntimeError("no note")


@pytest.mark.parametrize("notes", [5, [_Note()], ["fine", _Note()], _Note(), None, "text"])
def test_a_broken_exception_does_not_lose_the_line(lines: Lines, notes: object) -> None:
    """Its notes, its text and its cause can each raise."""
    for error in (ValueError("x"), _Hostile()):
        error.__notes__ = notes  # type: ignore[assignment]
        log.error("order_failed", exc_info=error, order_id=17)

        assert (lines.last["event"], lines.last["order_id"]) == ("order_failed", 17)
        assert lines.last["exception"]["type"].endswith(type(error).__name__)


@pytest.mark.parametrize(
    ("level", "name"),
    [("fatal", "critical"), ("WARN", "warning"), ("50", "critical"), (50, "critical"), ("Trace", None), (5, None)],
)
def test_a_level_has_all_of_its_names(level: int | str, name: str | None) -> None:
    """Its number decides: nothing becomes `info` silently."""
    stream = Lines()
    logs.setup("WARNING", "json", stream)

    log.log(level, "x")

    assert [line["level"] for line in stream.read_all] == ([name] if name else [])


def test_a_level_that_logging_was_given_counts(lines: Lines) -> None:
    """By its name; the line has the nearest below."""
    logging.addLevelName(35, "NOTICE")

    log.log("notice", "x")

    assert lines.last["level"] == "warning"


@pytest.mark.parametrize("level", ["loud", "", "-1", "1e2", True, None, 2.5])
def test_an_unknown_level_is_an_error(lines: Lines, level: Any) -> None:
    """Where it is used, and where a decorator is made."""
    for act in (lambda: log.log(level, "x"), lambda: logs.log_calls(level=level)):
        with pytest.raises(ValueError, match="unknown log level"):
            act()
    with pytest.raises(ConfigurationError, match="LOG_LEVEL"):
        logs.setup(level)
    assert not lines.read_all


def test_levels_and_handlers_of_logging_apply_to_our_loggers(lines: Lines) -> None:
    """By the name, and by those above it."""

    class Kept(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.records: list[logging.LogRecord] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.records.append(record)

    noisy, above, kept = logging.getLogger("applies.noisy"), logging.getLogger("applies"), Kept()
    above.addHandler(kept)
    noisy.setLevel(logging.ERROR)
    ours = logs.get_logger("applies.noisy")
    try:
        ours.warning("a")
        ours.error("b", order_id=1)
        assert not ours.is_enabled_for(logging.WARNING)
        noisy.setLevel(logging.NOTSET)
        ours.debug("c")
        above.propagate = False
        ours.error("d")
    finally:
        above.removeHandler(kept)
        above.propagate = True

    assert [record.getMessage() for record in kept.records] == ["b", "c", "d"]
    assert vars(kept.records[0])["order_id"] == 1
    assert [line["event"] for line in lines.read_all] == ["b", "c"]
