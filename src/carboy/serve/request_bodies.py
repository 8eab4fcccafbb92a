"""Read a request's body within a time limit.

A body that was cut off, or that took too long, raises werkzeug's `ClientDisconnected` (400) or `RequestTimeout` (408)
where the application reads it: Flask answers with them.
"""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.serve.deadlines import Deadlines

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_AT_ONCE_BYTES = 1_048_576


class Source(Protocol):
    """What a server gives as `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """Return that many bytes; fewer only at the end."""
        ...


class Body(io.RawIOBase):
    """A request's body, read when it is asked for.

    Args:
        source: the server's own stream.
        length_bytes: what `Content-Length` says; None for a chunked body.
        timeout_s: how long all reads together may wait.
        deadlines: ends a wait that takes too long.
        end: makes a waiting read return, such as by closing the connection.
    """

    def __init__(
        self,
        source: Source,
        length_bytes: int | None,
        timeout_s: float,
        deadlines: Deadlines,
        end: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._source, self._left_bytes, self._left_s = source, length_bytes, timeout_s
        self._deadlines, self._end, self._clock = deadlines, end, clock
        self._whole: io.BytesIO | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left when it is negative or None."""
        if (whole := self._buffered()) is not None:
            return whole.read(size)
        if size is None or size < 0:
            return self.readall()
        return self._fetch(size)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer and return how many bytes it took."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return bytes up to and with the next line break."""
        if (whole := self._buffered()) is not None:
            return whole.readline(size)
        return super().readline(-1 if size is None else size)

    def _buffered(self) -> io.BytesIO | None:
        """Return the whole body where its length is known and small: it is fetched with one wait."""
        if self._whole is None and self._left_bytes is not None and self._left_bytes <= _AT_ONCE_BYTES:
            self._whole = io.BytesIO(self._fetch(self._left_bytes))
        return self._whole

    def _fetch(self, size: int) -> bytes:
        wanted = size if self._left_bytes is None else min(size, self._left_bytes)
        if wanted == 0:
            return b""
        began_s = self._clock.monotonic_s()
        wait = self._deadlines.begin(self._left_s, self._end)
        try:
            data = self._source.read(wanted)
        except Exception as error:  # gunicorn has several for malformed chunks
            raise _cut_off() from error
        finally:
            is_in_time = self._deadlines.finish(wait)
        self._left_s -= self._clock.monotonic_s() - began_s
        if not is_in_time:
            raise _too_slow()
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
            if len(data) < wanted:
                raise _cut_off()
        return data


def length_of(environ: Mapping[str, Any]) -> int | None:
    """Return the length of a request's body, in bytes; None where it is chunked."""
    text = environ.get("CONTENT_LENGTH")
    if text:
        return int(text) if text.isascii() and text.isdigit() else 0
    return None if "HTTP_TRANSFER_ENCODING" in environ else 0


def _too_slow() -> Exception:
    from werkzeug.exceptions import RequestTimeout

    return RequestTimeout("The body did not arrive in time.")


def _cut_off() -> Exception:
    from werkzeug.exceptions import ClientDisconnected

    return ClientDisconnected("The connection ended before the body did.")
