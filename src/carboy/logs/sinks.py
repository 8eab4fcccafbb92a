"""Sinks of log lines: a stream, or rotated files. A sink never raises, and writes a line completely or not at all.

Lines are written by one call to the kernel, past Python's buffers: nothing is written twice after a fork, nothing is
lost by a kill, and a signal handler that logs meets no buffer in the middle of a write.
"""

import contextlib
import fcntl
import io
import os
import select
import stat
import sys
import threading
import time
from typing import IO, Any

_PATIENCE_S = 1.0


class StreamSink:
    """A stream that the program was given, or whatever `sys.stdout` is at the time.

    Attributes:
        lost: how many lines could not be written, as the stream was closed or had no reader.
    """

    def __init__(self, stream: IO[Any] | None) -> None:
        self._given = stream
        self._seen: IO[Any] | None = None
        self._fd = -1
        self._takes_turns = False
        self._is_forked = False
        self.lost: int = 0
        self._lock = threading.RLock()  # a signal handler may log while its own thread is writing

    def after_fork(self) -> None:
        """Take a fresh lock in a forked child, and stop flushing the parent's buffer."""
        self._lock = threading.RLock()
        self._is_forked = True

    def is_terminal(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return bool((self._given or sys.stdout).isatty())
        except (AttributeError, ValueError):
            return False

    def write(self, line: bytes) -> None:
        """Write the line; never raises."""
        stream = self._given or sys.stdout
        try:
            with self._lock:
                if stream is not self._seen:
                    self._fd, self._seen = _descriptor(stream), stream
                    self._takes_turns = self._fd >= 0 and _can_split_lines(self._fd)
                if self._fd < 0:
                    _write_by_python(stream, line)
                elif stream.closed:  # and its number may be another file's by now
                    self.lost += 1
                else:
                    if not self._is_forked:
                        stream.flush()  # what was printed before stays before
                    if self._takes_turns:
                        _write_in_turn(self._fd, line)
                    else:
                        _write_all(self._fd, line)
        except Exception:  # noqa: BLE001 (a stream can be any object; logging never raises)
            self.lost += 1


def _descriptor(stream: IO[Any]) -> int:
    if isinstance(stream, (io.TextIOWrapper, io.BufferedIOBase, io.RawIOBase)):
        with contextlib.suppress(OSError, ValueError):  # a stream over memory has none
            return stream.fileno()
    return -1


def _write_by_python(stream: IO[Any], line: bytes) -> None:
    if isinstance(stream, (io.BufferedIOBase, io.RawIOBase)):
        stream.write(line)
    else:
        stream.write(line.decode())
    stream.flush()


def _can_split_lines(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _write_in_turn(fd: int, line: bytes) -> None:
    """Write a line while no other process writes to this pipe: beyond PIPE_BUF bytes a write is not whole by itself."""
    has_lock = _take_turn(fd)
    try:
        _write_all(fd, line)
    finally:
        if has_lock:
            fcntl.lockf(fd, fcntl.LOCK_UN)


def _take_turn(fd: int) -> bool:
    """Return whether the lock was taken; a process that is frozen while it has it is waited for only a second."""
    give_up_at_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at_s:
                return False
            time.sleep(0.000_2)
        except OSError:  # a pipe that has no locks
            return False
        else:
            return True


def _write_all(fd: int, line: bytes) -> None:
    """Write every byte, waiting up to a second each time that a reader is too slow for a stream that must not block."""
    while True:
        try:
            written = os.write(fd, line)
        except BlockingIOError:
            if not select.select([], [fd], [], _PATIENCE_S)[1]:
                raise
            continue
        if written == len(line):
            return
        line = line[written:]


class FileSink:
    """A file that is renamed to `<name>.1`, `.2` and so on when it is full; several processes may share it.

    Args:
        path: the file that is written to; its folder must exist.
        max_bytes: how large it grows before it is renamed; 0 for no bound.
        max_count: how many files there are in all, the current one included; at least 1.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, max_bytes: int, max_count: int) -> None:
        self._path = os.path.abspath(path)
        self._max_bytes = max_bytes
        self._max_count = max(1, max_count)
        self._fd = self._open()
        self.lost: int = 0
        self._lock = threading.RLock()

    def after_fork(self) -> None:
        """Take a fresh lock in the child and, lest locks on the file be shared with the parent, an own descriptor."""
        self._lock = threading.RLock()
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                fresh = self._open()
                os.close(self._fd)
                self._fd = fresh

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, line: bytes) -> None:
        """Write the line; never raises."""
        try:
            with self._lock:
                if self._max_bytes and os.fstat(self._fd).st_size + len(line) > self._max_bytes:
                    self._make_room(len(line))
                _write_all(self._fd, line)
        except Exception:  # noqa: BLE001 (a full disk is no reason to fail a request)
            self.lost += 1

    def _make_room(self, size: int) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if self._is_current() and 0 < os.fstat(self._fd).st_size > self._max_bytes - size:
                self._rename()
            fresh = self._open()
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
        self._fd = fresh

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _rename(self) -> None:
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, self._max_count))]
        if len(names) == 1:
            os.unlink(self._path)
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)

    def close(self) -> None:
        """Close the file; lines written after this are lost."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
