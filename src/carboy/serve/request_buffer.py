"""Collect the bytes of one HTTP/1.1 request until a thread can read it without waiting for its client.

This decides only *when* a request is handed to a thread; the server's own parser reads and checks the same bytes.
Whatever looks wrong is therefore handed on at once, and refused there.

Source: RFC 9112, sections 2.2, 6 and 7.1.
"""

import re

MAX_BUFFER_BYTES = 1_048_576  # more than the parser's limit on headers
_MAX_LINE_BYTES = 8192
_bare_newline = re.compile(rb"(?<!\r)\n")
_length = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n")
_is_chunked = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n").search
_expects_continue = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n").search
_chunk_size = re.compile(rb"[0-9a-fA-F]{1,16}(?=[ \t;\r])").match
_request_id = re.compile(rb"\r\nx-request-id:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE).search


class RequestBuffer:
    """The bytes of one request, as they arrive.

    Attributes:
        data: all bytes so far; behind a whole request those of the next one.
        head_bytes: where the headers end; 0 until they are whole.
        is_ready: whether a thread can read it: it is whole, malformed, or larger than `MAX_BUFFER_BYTES`.
        is_whole: whether the request's last byte is there.
        expects_continue: whether the client waits for `100 Continue` before it sends the body.
    """

    __slots__ = ("_at", "_end", "_seen", "data", "expects_continue", "head_bytes", "is_ready", "is_whole")

    def __init__(self) -> None:
        self.data: bytearray = bytearray()
        self.head_bytes: int = 0
        self.is_ready: bool = False
        self.is_whole: bool = False
        self.expects_continue: bool = False
        self._seen = self._at = 0
        self._end: int | None = None  # of a body of known length

    def feed(self, data: bytes) -> None:
        """Add bytes that arrived."""
        self.data += data
        if not self.head_bytes:
            self._find_head()
        if self.head_bytes and not self.is_ready:
            if self._end is not None:
                self.is_whole = len(self.data) >= self._end
            else:
                self._follow_chunks()
        if self.is_whole or len(self.data) >= MAX_BUFFER_BYTES:
            self.is_ready = True

    def take(self) -> bytes:
        """Return all bytes and keep none."""
        taken, self.data = bytes(self.data), bytearray()
        return taken

    @property
    def request_line(self) -> list[bytes]:
        """Return method, target and version, as far as they have arrived; what came is not checked."""
        return bytes(self.data[:_MAX_LINE_BYTES]).lstrip(b"\r\n").partition(b"\r\n")[0].split(b" ")

    @property
    def request_id(self) -> str | None:
        """Return the `X-Request-Id` that the client sent, if any; it is not checked."""
        found = _request_id(self.data, 0, self.head_bytes or len(self.data))
        return found[1].decode("latin-1") if found else None

    def _find_head(self) -> None:
        since = max(0, self._seen - 3)
        self._seen = len(self.data)
        end = self.data.find(b"\r\n\r\n", since)
        if end < 0:
            is_long_line = len(self.data) > _MAX_LINE_BYTES and b"\r\n" not in self.data[:_MAX_LINE_BYTES]
            self.is_ready = is_long_line or _bare_newline.search(self.data, since) is not None
            return
        self.head_bytes = self._at = end + 4
        head = bytes(self.data[: self.head_bytes]).lower()
        coded, lengths = b"\r\ntransfer-encoding:" in head, head.count(b"\r\ncontent-length:")
        if not coded and not lengths:
            self._end = self.head_bytes
            return
        length = _length.search(head)
        if lengths > 1 or (coded and (lengths or not _is_chunked(head))) or (lengths and not length):
            self.is_ready = True  # malformed, or in a coding that is not undone here
        elif length:
            self._end = self.head_bytes + int(length[1])
            self.is_ready = self._end > MAX_BUFFER_BYTES
        self.expects_continue = _expects_continue(head) is not None

    def _follow_chunks(self) -> None:
        """Go from chunk to chunk as far as they have arrived."""
        while (line_end := self.data.find(b"\r\n", self._at)) >= 0:
            if not (size := _chunk_size(self.data, self._at)):
                self.is_ready = True
                return
            if int(size[0], 16) == 0:
                self._find_end_of_trailer(line_end)
                return
            chunk_end = line_end + 2 + int(size[0], 16)
            if chunk_end > MAX_BUFFER_BYTES or not b"\r\n".startswith(bytes(self.data[chunk_end : chunk_end + 2])):
                self.is_ready = True
                return
            if len(self.data) < chunk_end + 2:
                return
            self._at = chunk_end + 2
        self.is_ready = len(self.data) - self._at > _MAX_LINE_BYTES

    def _find_end_of_trailer(self, line_end: int) -> None:
        if self.data[line_end + 2 : line_end + 4] == b"\r\n" or self.data.find(b"\r\n\r\n", line_end + 2) >= 0:
            self.is_whole = True
        else:
            self.is_ready = len(self.data) - line_end > _MAX_LINE_BYTES
