"""Open compressed bodies within a limit, however small they are on the wire.

Source: RFC 9110, section 8.4.1; RFC 8878 for zstd.
"""

import zlib
from collections.abc import Callable
from functools import partial
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
        if body or step != "zstd":  # zstd may have no member at all
            body = _open(body, step, max_bytes)
    return body


def _open(body: bytes, step: str, max_bytes: int) -> bytes:
    """Return what a body holds; gzip and zstd may have several members, deflate may lack its zlib header."""
    make, errors = _decompressor(step, body)
    opened: bytes = b""
    rest = body
    while True:
        stream = make()
        try:
            opened += stream.decompress(rest, max_bytes + 1 - len(opened))
        except errors as error:
            raise _unreadable(step) from error
        if len(opened) > max_bytes:
            raise Problem(413, f"the opened body is larger than {max_bytes} bytes")
        rest = stream.unused_data
        if not stream.eof or (rest and step == "deflate"):
            raise _unreadable(step)
        if not rest:
            return opened


def _decompressor(step: str, body: bytes) -> tuple[Callable[[], Any], type[Exception]]:
    """Return what makes the decompressor of a member, and the errors that it raises."""
    if step == "zstd":
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: 23}
        return partial(zstd.ZstdDecompressor, options=options), zstd.ZstdError
    has_header = body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    bits = 31 if step != "deflate" else 15 if has_header else -15
    return partial(zlib.decompressobj, bits), zlib.error


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14
    except ImportError:
        with extra("archive"):
            from backports import zstd
    return zstd


def _unreadable(step: str) -> Problem:
    return Problem(400, f"the body is not valid {step}")
