"""Entering and leaving a function is logged."""

import asyncio

import pytest
from tests.logs.kit import Lines

from carboy import logs


def test_entering_and_leaving_is_logged(lines: Lines) -> None:
    """With the time it took, and not with what went in."""

    @logs.log_calls
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert add(1, b=2) == 3
    assert add.__doc__ == "Add."

    entered, left = lines.read_all
    assert entered == entered | {"level": "debug", "logger": __name__, "event": "call_entered"}
    assert entered["function"].endswith("add")
    assert left["event"] == "call_left"
    assert left["duration_ms"] >= 0
    assert "result" not in left


def test_a_call_that_fails_is_logged_and_raises(lines: Lines) -> None:
    """The line names the error; the caller that handles it logs it."""

    @logs.log_calls(level="info")
    def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        fail()

    assert lines.last == lines.last | {"level": "info", "event": "call_left", "error": "KeyError"}


def test_results_are_logged_when_asked_for(lines: Lines) -> None:
    """Masked as any value is; also of an async function, with a logger of one's own."""

    @logs.log_calls(logger=logs.get_logger("mine"), with_result=True)
    async def fetch() -> dict[str, str]:
        await asyncio.sleep(0)
        return {"id": "1", "token": "t"}

    asyncio.run(fetch())

    assert lines.last == lines.last | {"logger": "mine", "result": {"id": "1", "token": "***"}}


def test_a_failing_async_call_is_logged_too(lines: Lines) -> None:
    """The same line."""

    @logs.log_calls
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        asyncio.run(fail())

    assert lines.last["error"] == "KeyError"
