"""Output of a process: the level, format and sinks of all log lines."""

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from carboy.logs.log_context import bound_facts
from carboy.logs.log_lines import LEVEL_NUMBERS, careful_fields, render_fields, render_json
from carboy.logs.sinks import FileSink, StreamSink
from carboy.logs.structlog_ import bound_by_structlog

MAX_CHARS = 32_768
OF_A_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Output:
    """The level, format and sinks of this process; `setup` changes it in place, so that every logger follows.

    Attributes:
        level: events below it are dropped until `setup`; then the levels of `logging` hold.
        is_set_up: whether `setup` was called.
        stream: gets each line.
        file: gets each line as JSON, where there is one.
        is_console: whether the stream gets text for people.
        has_colour: whether that text is coloured.
        max_chars: how much text the values of one line may hold together.
    """

    __slots__ = ("file", "has_colour", "is_console", "is_set_up", "level", "max_chars", "stream")

    def __init__(self) -> None:
        self.level: int = logging.INFO
        self.is_set_up: bool = False
        self.stream: StreamSink = StreamSink(None)
        self.file: FileSink | None = None
        self.is_console: bool | None = None  # not decided yet: by terminal, at the first line
        self.has_colour: bool = False
        self.max_chars: int = MAX_CHARS

    def emit(self, level: str, logger: str, event: str, facts: Mapping[str, Any]) -> bytes | None:
        """Write the line of an event, and return it as JSON; None when even that failed. Never raises."""
        try:
            return self._emit(level, logger, event, facts)
        except Exception as error:  # noqa: BLE001 (logging never raises)
            with suppress(Exception):
                what = {"fault": type(error).__name__, "of": type(event).__name__}
                self.stream.write(render_json(level, "carboy.logs", "line_failed", {}, what, self.max_chars))
            return None

    def _emit(self, level: str, logger: str, event: str, facts: Mapping[str, Any]) -> bytes:
        if "structlog.contextvars" in sys.modules:
            facts = {**bound_by_structlog(), **facts}
        if self.is_console is None:
            self.is_console = self.stream.is_terminal()
        if self.is_console:
            from carboy.logs.console_format import render_console  # for people: few processes write to a terminal

            fields = careful_fields(level, logger, event, bound_facts(), facts, self.max_chars)
            line = render_fields(fields)
            self.stream.write(render_console(fields, has_colour=self.has_colour).encode())
        else:
            line = render_json(level, logger, event, bound_facts(), facts, self.max_chars)
            self.stream.write(line)
        if self.file is not None:
            self.file.write(line)
        return line

    def render(self, level: str, logger: str, event: str, facts: Mapping[str, Any]) -> bytes:
        """Return the line of an event without writing it."""
        if "structlog.contextvars" in sys.modules:
            facts = {**bound_by_structlog(), **facts}
        return render_json(level, logger, event, bound_facts(), facts, self.max_chars)

    def hand_on(self, level: str, logger: str, event: str, line: bytes, handlers: Iterable[logging.Handler]) -> None:
        """Pass an event that did not come through `logging` to handlers of `logging`."""
        number = LEVEL_NUMBERS[level]
        record = logging.LogRecord(logger, number, "", 0, event, None, None)
        for name, value in orjson.loads(line).items():
            if name == "event":
                record.msg = value
            elif name not in OF_A_RECORD:
                vars(record)[name] = value  # not setattr: a fact may be named `__class__`
        record.carboy_line = line.decode().rstrip("\n")
        for handler in handlers:
            if number >= handler.level:
                handler.handle(record)

    def after_fork(self) -> None:
        """Take fresh locks in a forked child."""
        self.stream.after_fork()
        if self.file is not None:
            self.file.after_fork()


OUTPUT = Output()
os.register_at_fork(after_in_child=OUTPUT.after_fork)
