"""Open compressed bodies within a limit, however small they are on the wire.

Source: RFC 9110, section 8.4.1; RFC 8878 for zstd.
"""

import zlib
from typing import Any

from carboy.extras import extra
from carboy.problems import Problem

ENCODINGS = ("gzip", "x-gzip", "deflate", "zstd")


def open_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return what a body holds.

    Args:
        body: as received.
        encoding: what Content-Encoding says; several are undone from the last to the first.
        max_bytes: of the opened body, and of each step on the way to it.

    Raises:
        Problem: 400 where it cannot be opened, 413 where it holds more, 415 for an encoding that is unknown.
    """
    steps = [one.strip().lower() for one in encoding.split(",")]
    steps = [one for one in steps if one not in {"", "identity"}]
    if len(steps) > 2 or not set(steps) <= {*ENCODINGS}:
        raise Problem(415, f"the body's Content-Encoding must be one of {', '.join(ENCODINGS)}")
    for step in reversed(steps):
        body = _open_zstd(body, max_bytes) if step == "zstd" else _open_zlib(body, step, max_bytes)
    return body


def _open_zlib(body: bytes, step: str, max_bytes: int) -> bytes:
    """Return what gzip or deflate holds; gzip may have several members, deflate may lack its zlib header."""
    is_gzip = step != "deflate"
    has_header = body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    bits = 31 if is_gzip else 15 if has_header else -15
    opened = b""
    rest = body
    while rest or not opened:
        stream = zlib.decompressobj(bits)
        try:
            opened += stream.decompress(rest, max_bytes + 1 - len(opened))
        except zlib.error as error:
            raise _unreadable(step) from error
        if len(opened) > max_bytes:
            raise _too_large(max_bytes)
        if not stream.eof:
            raise _unreadable(step)
        rest = stream.unused_data
        if not is_gzip or not rest:
            break
    if rest:
        raise _unreadable(step)
    return opened


def _open_zstd(body: bytes, max_bytes: int) -> bytes:
    zstd = _zstd()
    opened = b""
    rest = body
    while rest:
        stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
        try:
            opened += stream.decompress(rest, max_bytes + 1 - len(opened))
        except zstd.ZstdError as error:
            raise _unreadable("zstd") from error
        if len(opened) > max_bytes:
            raise _too_large(max_bytes)
        if not stream.eof:
            raise _unreadable("zstd")
        rest = stream.unused_data
    return opened


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14
    except ImportError:
        with extra("archive"):
            from backports import zstd
    return zstd


def _unreadable(step: str) -> Problem:
    return Problem(400, f"the body is not valid {step}")


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the opened body is larger than {max_bytes} bytes")
