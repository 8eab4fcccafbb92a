"""A request is handed to a thread when it is whole, or when waiting for more is of no use."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.serve.request_buffer import MAX_BUFFER_BYTES, RequestBuffer

HEAD = b"POST /echo?a=1 HTTP/1.1\r\nHost: x\r\n"
WHOLE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    HEAD + b"Content-Length: 0\r\n\r\n",
    HEAD + b"content-length:\t5\r\n\r\nhello",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n00A \r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n",
]
MALFORMED = {
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "a length that is no number": HEAD + b"Content-Length: 0x5\r\n\r\n",
    "a coding that is not undone": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: x\n\n",
    "an endless line": b"a" * 9000,
    "a chunk without a size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a negative size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-3\r\n",
    "a chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\naaa",
    "an endless chunk line": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 9000,
    "an endless trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a" * 9000,
    "a body too large to buffer": HEAD + b"Content-Length: 1048577\r\n\r\n",
    "a chunk too large to buffer": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
}


def fed(*pieces: bytes) -> RequestBuffer:
    buffer = RequestBuffer()
    for piece in pieces:
        buffer.feed(piece)
    return buffer


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    """Byte by byte, as the slowest client sends it."""
    buffer = RequestBuffer()
    for at in range(len(request_bytes)):
        assert not buffer.is_ready, request_bytes[:at]
        buffer.feed(request_bytes[at : at + 1])

    assert (buffer.is_ready, buffer.is_whole) == (True, True)
    assert buffer.take() == request_bytes


@pytest.mark.slow
@given(
    request_bytes=st.sampled_from([*WHOLE, *MALFORMED.values()]),
    behind=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_how_a_request_is_cut_up_does_not_matter(request_bytes: bytes, behind: bytes, cuts: list[int]) -> None:
    """Packets end anywhere; bytes of the next request may be behind this one."""
    data = request_bytes + behind
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]

    in_pieces, at_once = fed(*pieces), fed(data)

    assert (in_pieces.is_ready, in_pieces.is_whole) == (at_once.is_ready, at_once.is_whole)
    assert in_pieces.take() == data


@pytest.mark.parametrize("name", MALFORMED)
def test_what_the_parser_refuses_is_handed_on_at_once(name: str) -> None:
    """Waiting for more would only give the client time."""
    buffer = fed(MALFORMED[name])

    assert (buffer.is_ready, buffer.is_whole) == (True, False)


@pytest.mark.slow
def test_no_more_is_buffered_than_the_limit() -> None:
    """Headers, or chunks, without end."""
    for head in (b"GET / HTTP/1.1\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        line = b"X-A: b\r\n" if head.startswith(b"GET") else b"1\r\na\r\n"
        buffer = fed(head + line * (MAX_BUFFER_BYTES // len(line)))

        assert (buffer.is_ready, buffer.is_whole) == (True, False)


def test_what_a_refusal_needs_is_read_without_a_parser() -> None:
    """Method, target and request id, also of headers that never end."""
    buffer = fed(HEAD + b"X-Request-ID:  abc-1 \r\nX-A")

    assert buffer.request_line == [b"POST", b"/echo?a=1", b"HTTP/1.1"]
    assert buffer.request_id == "abc-1"
    assert fed(HEAD + b"\r\nX-Request-Id: of-the-body\r\n").request_id is None


def test_a_client_that_waits_for_100_continue_is_noticed() -> None:
    """Once its headers are there."""
    assert fed(HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n").expects_continue
    assert not fed(HEAD + b"Content-Length: 5\r\n\r\n").expects_continue
