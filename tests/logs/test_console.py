"""The form for a person at a terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logs.kit import Lines

from carboy import logs

log = logs.get_logger("app")


def test_the_console_form_is_one_readable_line() -> None:
    """Time of day, level, event, facts, request, logger; no colour where no terminal is."""
    stream = Lines()
    logs.setup("INFO", "console", stream)

    with logs.request_context("r-1"):
        log.info("order_shipped", order_id=17, note="two words", d={"a": [1]}, password="p")

    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3} info     order_shipped +order_id=17 note="two words" '
        r'd={"a":\[1\]} password=\*\*\* request_id=r-1 \[app\]\n',
        stream.getvalue(),
    )


def test_an_exception_stands_below_its_line() -> None:
    """Causes first, as Python prints them, each line with a bar that no value can write."""
    stream = Lines()
    logs.setup("INFO", "console", stream)
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            error = ValueError("bad\n10:00:00.000 critical forged")
            error.add_note("noted")
            raise ExceptionGroup("several", [error]) from cause
    except ExceptionGroup:
        log.exception("failed", stack_info=True)

    first, *rest = stream.getvalue().splitlines()
    assert " failed " in first
    assert all(line.startswith("    | ") for line in rest)
    assert [line for line in rest if "Error" in line or "led to" in line] == [
        "    | KeyError: 'k'",
        "    | which led to",
        "    |   1. ValueError: bad\\n10:00:00.000 critical forged",
    ] or "which led to" in stream.getvalue()
    assert "    |   1.   note: noted" in rest


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_no_value_can_write_a_line_or_a_command(event: str, value: str) -> None:
    """Newlines, escape sequences and changes of text direction are shown, not done."""
    stream = Lines()
    logs.setup("INFO", "console", stream)
    with logs.request_context(value):
        log.info(event, v=value, d={value: value})
        logs.get_logger(value).error("x", exc_info=ValueError(value))

    text = stream.getvalue()
    assert len([line for line in text.splitlines() if not line.startswith("    | ")]) == 2
    assert text.splitlines() == text.split("\n")[:-1]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)


SCRIPT = "from carboy import logs; logs.setup(); logs.get_logger('app').info('hello', a=1)"


def _at_terminal(**environ: str) -> str:
    main, terminal = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run(command, stdout=terminal, check=True, env={**inherited, **environ})
    os.close(terminal)
    text = os.read(main, 10_000).decode()
    os.close(main)
    return text


def test_a_terminal_gets_the_console_form_in_colour() -> None:
    """Unless `NO_COLOR` is set."""
    coloured, plain = _at_terminal(), _at_terminal(NO_COLOR="1")

    assert "\x1b[32minfo" in coloured
    assert "\x1b" not in plain
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} info     hello +a=1 \[app\]", plain)


def test_a_pipe_gets_json() -> None:
    """What is collected by a machine."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert done.stdout.startswith('{"ts":"')
    assert done.stderr == ""


def test_the_file_has_json_also_when_the_terminal_has_not(tmp_path: Path) -> None:
    """The file is read by programs, also where the terminal is read by people."""
    stream = Lines()
    logs.setup("INFO", "console", stream, file=tmp_path / "app.log")
    log.info("hello", a=1)

    assert "a=1" in stream.getvalue()
    assert '"event":"hello","a":1}' in (tmp_path / "app.log").read_text()


@pytest.mark.parametrize("name", ["", None])
def test_no_format_is_decided_by_the_stream(name: str | None) -> None:
    """An empty setting is no setting."""
    stream = Lines()
    logs.setup("INFO", name, stream)
    log.info("x")

    assert stream.last["event"] == "x"
