"""A request's body reads as a file does, or says that it is not whole."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from carboy.serve.deadlines import Deadlines
from carboy.serve.request_bodies import Body, length_of
from carboy.testing import ManualClock

READS = st.lists(st.tuples(st.sampled_from(["read", "readline", "readinto"]), st.integers(-1, 40)), max_size=20)


def body_of(data: bytes, length: int | None) -> Body:
    return Body(io.BytesIO(data), length, 30.0, Deadlines(10), lambda: None)


def reads(file: io.RawIOBase | io.BytesIO, plan: list[tuple[str, int]]) -> Iterator[bytes]:
    for how, size in plan:
        if how == "readinto":
            buffer = bytearray(max(size, 0))
            yield bytes(buffer[: file.readinto(buffer) or 0])
        else:
            yield getattr(file, how)(size) or b""
    yield file.read() or b""
    yield file.read() or b""


@pytest.mark.slow
@given(
    data=st.binary(max_size=200).map(lambda data: data.replace(b"\x00", b"\n")), plan=READS, is_chunked=st.booleans()
)
def test_a_body_reads_as_a_file_does(data: bytes, plan: list[tuple[str, int]], is_chunked: bool) -> None:
    """The application gets the same bytes with any sequence of read calls."""
    body = body_of(data, None if is_chunked else len(data))

    assert list(reads(body, plan)) == list(reads(io.BytesIO(data), plan))


def test_bytes_behind_the_body_are_not_read() -> None:
    """What follows `Content-Length` on the connection is the next request's."""
    assert body_of(b"hello GET / HTTP/1.1", 5).read() == b"hello"


@pytest.mark.parametrize("length", [10, 3_000_000])
def test_a_body_that_was_cut_off_is_not_taken_for_a_whole_one(length: int) -> None:
    """A document of which half arrived is answered 400, and never stored."""
    body = body_of(b"half", length)

    with pytest.raises(ClientDisconnected):
        body.read()


def test_a_body_that_takes_too_long_raises_408() -> None:
    """The wait is ended from outside; what came by then is no body."""
    clock = ManualClock()
    deadlines = Deadlines(10, clock)

    class Slow:
        def read(self, _size: int) -> bytes:
            clock.advance(31)
            deadlines.sweep()
            return b"ab"

    ended: list[bool] = []
    body = Body(Slow(), 10, 30.0, deadlines, lambda: ended.append(True), clock)

    with pytest.raises(RequestTimeout):
        body.read()
    assert ended == [True]


def test_all_reads_of_a_body_share_one_time() -> None:
    """A byte now and then does not restart the timeout."""
    clock = ManualClock()
    deadlines = Deadlines(10, clock)

    class Dripping:
        def read(self, _size: int) -> bytes:
            clock.advance(7)
            deadlines.sweep()
            return b"x"

    body = Body(Dripping(), None, 30.0, deadlines, lambda: None, clock)

    assert [body.read(1) for _ in range(4)] == [b"x"] * 4
    with pytest.raises(RequestTimeout):
        body.read(1)


@pytest.mark.parametrize(
    ("environ", "length"),
    [
        ({"CONTENT_LENGTH": "12"}, 12),
        ({"CONTENT_LENGTH": ""}, 0),
        ({"CONTENT_LENGTH": "+5"}, 0),
        ({}, 0),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, None),
    ],
)
def test_the_length_of_a_body_is_what_the_headers_say(environ: dict[str, str], length: int | None) -> None:
    """A request without either header has no body."""
    assert length_of(environ) == length
