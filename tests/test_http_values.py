"""Times, `Retry-After`, cursors and JSON pointers are read and written in one way."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.http_values import (
    MISSING,
    look_up,
    parse_cursor,
    parse_pointer,
    parse_query_time,
    parse_retry_after,
    parse_time,
    render_cursor,
    render_pointer,
    render_retry_after,
    render_time,
)

AT_MS = 1_484_661_060_123


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_comes_back_from_its_text(at_ms: int) -> None:
    """In every reader."""
    text = render_time(at_ms)

    assert parse_time(text) == parse_query_time(text) == at_ms


@pytest.mark.parametrize(
    "text", ["2017-01-17T13:51:00.123Z", "2017-01-17T14:51:00.123+01:00", "2017-01-17T14:51:00.123 01:00"]
)
def test_the_plus_of_an_offset_is_repaired(text: str) -> None:
    """A query turns it into a blank."""
    assert parse_query_time(text) == AT_MS


@pytest.mark.parametrize("text", ["", "now", "2017-01-17T13:51:00", "1484661060"])
def test_a_time_of_a_query_needs_an_offset(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|ISO 8601"):
        parse_query_time(text)


@pytest.mark.parametrize("value", [None, True, [], "", "soon", -1, float("nan"), float("inf"), "1" * 30, "\uff11"])
def test_an_invalid_time_reads_as_none(value: object) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize(("wait_s", "text"), [(0, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (60, "60")])
def test_a_wait_is_rounded_up(wait_s: float, text: str) -> None:
    assert render_retry_after(wait_s) == text
    assert parse_retry_after(text, 0) == float(text)


def test_a_wait_may_be_a_date() -> None:
    assert parse_retry_after("Tue, 17 Jan 2017 13:51:30 GMT", 1_484_661_060) == 30
    assert parse_retry_after("Tue, 17 Jan 2017 13:50:00 GMT", 1_484_661_060) == 0
    assert parse_retry_after("soon", 0) == parse_retry_after(None, 0) == parse_retry_after("-5", 0) == 0


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
def test_a_cursor_comes_back(numbers: list[int]) -> None:
    assert parse_cursor(render_cursor(*numbers), len(numbers)) == tuple(numbers)


@pytest.mark.parametrize("text", ["", "x", "!!!", render_cursor(1), render_cursor(1, 2, 3), "MS4tMQ"])
def test_a_cursor_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="next"):
        parse_cursor(text, 2)


@pytest.mark.slow
@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_pointer_leads_to_where_it_was_made(parts: list[str]) -> None:
    document: object = "here"
    for part in reversed(parts):
        document = {part: document}

    assert parse_pointer(render_pointer(parts)) == tuple(parts)
    assert look_up(document, render_pointer(parts)) == "here"


@pytest.mark.parametrize("pointer", ["/b", "/a/0/x", "/a/2", "/a/-1", "/a/01x", "/a/\u0661"])
def test_a_pointer_to_nothing_is_missing(pointer: str) -> None:
    assert look_up({"a": [1, 2]}, pointer) is MISSING


@pytest.mark.parametrize(
    "text", ["Tue Jan 17 13:51:30 2017", "Tuesday, 17-Jan-17 13:51:30 GMT", "Tue, 17 Jan 2017 13:51:30 -0000"]
)
def test_a_date_without_an_offset_is_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine has another time zone: all dates of HTTP are in UTC. Source: RFC 9110, section 5.6.7."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_retry_after(text, 1_484_661_060) == 30
        assert parse_time(text) == 1_484_661_090_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_year_beyond_all_clocks_is_no_time() -> None:
    assert parse_time("9999999999 Nov 08:49:37 Sat -2400") is None
