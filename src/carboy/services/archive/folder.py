"""Objects in a folder: one file each, on stable storage before a call returns.

A file is written aside, synced, and linked to its name, so that no reader ever sees a part of it and no writer
overwrites another; then the folder that holds the name is synced. (obstore's own folder store does not sync.)
A folder has no place for a content type and metadata; they are dropped.
"""

import errno
import os
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

from carboy.errors import Refused, Unreachable, UpstreamError
from carboy.private_folders import make_private_folder
from carboy.services.archive.objects import Entry, Head, Put, StoredObject, StoreFull, check_key, check_prefix, missing

_INCOMING = ".incoming"  # no key begins with a dot
_STALE_S = 3600.0
_MODE = 0o750  # of folders; the group may read
_MAX_KNOWN_FOLDERS = 10_000
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class FolderStore:
    """Objects as files below a folder, which is made with the first of them.

    Threads and processes may share a folder, on a file system that has hard links.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._durable: set[str] = set()  # folders that are known to be on stable storage

    def __repr__(self) -> str:
        return f"FolderStore({self._root!r})"

    def put_new(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> Put:
        """Store an object unless there is one under that key already, which is never overwritten."""
        path = self._path(key)
        with self._explained(f"the object `{key}` could not be stored"):
            if not os.path.lexists(path):
                with self._incoming(data) as incoming, suppress(FileExistsError):
                    self._publish(os.link, incoming, path)
                    return Put.CREATED
            self._make(os.path.dirname(path))
            _sync(os.path.dirname(path))  # another's link may not be on stable storage yet
        return Put.EXISTED

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object in the place of whatever was there."""
        path = self._path(key)
        with self._explained(f"the object `{key}` could not be stored"), self._incoming(data) as incoming:
            self._publish(os.replace, incoming, path)

    def read(self, key: str) -> StoredObject:
        """Return an object; raise `ObjectMissing` if it does not exist."""
        return StoredObject(self.get(key))

    def get(self, key: str) -> bytes:
        """Return an object's content; raise `ObjectMissing` if it does not exist."""
        path = self._path(key)
        with self._explained(f"the object `{key}` could not be read"), suppress(*_ABSENT):
            return Path(path).read_bytes()
        raise missing(key, f"the folder `{self._root}`")

    def head(self, key: str) -> Head | None:
        """Return an object's facts without its content; None if it does not exist."""
        path = self._path(key)
        with self._explained(f"the object `{key}` could not be read"), suppress(*_ABSENT):
            found = os.stat(path)
            if not stat.S_ISDIR(found.st_mode):
                return Head(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
        return None

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix in the byte order of their keys."""
        bare = check_prefix(prefix)
        with self._explained(f"the objects below `{prefix}` could not be listed"):
            yield from _walk(os.path.join(self._root, bare), f"{bare}/" if bare else "", after)

    def delete(self, key: str) -> None:
        """Remove an object; there need be none."""
        self.delete_all([key])

    def delete_all(self, keys: Collection[str]) -> None:
        """Remove objects; their folders are synced once each."""
        folders: set[str] = set()
        for key in keys:
            path = self._path(key)
            with self._explained(f"the object `{key}` could not be removed"), suppress(*_ABSENT):
                os.unlink(path)
                folders.add(os.path.dirname(path))
        for folder in folders:
            with self._explained("removed objects could not be synced"), suppress(*_ABSENT):
                _sync(folder)

    def check(self) -> None:
        """Raise when the folder cannot be made or written, or its disk is full."""
        with self._explained("the archive's folder cannot be used"):
            make_private_folder(self._root, _MODE)
            if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "no permission to write")
            with self._incoming(b"."):
                pass  # what may be written is found by writing
            disk = os.statvfs(self._root)
            if disk.f_blocks and not disk.f_bavail:  # some file systems count nothing
                raise OSError(errno.ENOSPC, "no space left")

    def is_conditional(self) -> bool:
        """Return True: a link never replaces a file."""
        return True

    def learn(self, key: str, data: bytes, content_type: str) -> bool:
        """Return that it never overwrites."""
        return True

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._root}/{key}"

    @contextmanager
    def _incoming(self, data: bytes) -> Iterator[str]:
        """Write the content aside and sync it; what is left of that file is removed after the block."""
        folder = f"{self._root}/{_INCOMING}"
        if folder not in self._durable:
            self._make(folder)
            _remove_stale(folder)
        path = f"{folder}/{uuid.uuid4().hex}"
        try:
            descriptor = _create(path)
        except FileNotFoundError:  # the folder was removed since we made it
            self._durable.clear()
            self._make(folder)
            descriptor = _create(path)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(descriptor)
            yield path
        finally:
            with suppress(FileNotFoundError):  # `replace` has moved it
                os.unlink(path)

    def _publish(self, move: Callable[[str, str], None], incoming: str, path: str) -> None:
        """Give a synced file its name, and sync the name."""
        folder = os.path.dirname(path)
        self._make(folder)
        try:
            move(incoming, path)
        except FileNotFoundError:  # the folder was removed since we made it
            self._durable.clear()
            self._make(folder)
            move(incoming, path)
        _sync(folder)

    def _make(self, folder: str) -> None:
        """Make a folder, and have every folder above it up to the root's own hold it on stable storage."""
        if folder in self._durable:
            return
        make_private_folder(folder, _MODE)
        if len(self._durable) > _MAX_KNOWN_FOLDERS:
            self._durable.clear()
        if folder != self._root:
            self._make(os.path.dirname(folder))
        with suppress(PermissionError):  # only the root's parent can be closed to us: then it is not ours to sync
            _sync(os.path.dirname(folder))
        self._durable.add(folder)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _explain(error, what, self._root) from error


def _walk(folder: str, prefix: str, after: str) -> Iterator[Entry]:
    """Yield the files below a folder, sorted as their keys are: a folder sorts as its name and a slash."""
    try:
        with os.scandir(folder) as found:
            entries = [
                (f"{prefix}{entry.name}/" if entry.is_dir() else prefix + entry.name, entry)
                for entry in found
                if not entry.name.startswith(".")
            ]
    except _ABSENT:
        return
    entries.sort(key=itemgetter(0))
    for key, entry in entries:
        if key.endswith("/"):
            if key > after or after.startswith(key):
                yield from _walk(entry.path, key, after)
        elif key > after:
            with suppress(FileNotFoundError):  # removed since it was listed
                status = entry.stat()
                yield Entry(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(folder: str) -> None:
    """Remove what writers left that were killed in the middle."""
    before_s = time.time() - _STALE_S
    with os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):  # another process sweeps too
                if entry.stat().st_mtime < before_s:
                    os.unlink(entry.path)


def _explain(error: OSError, what: str, root: str) -> UpstreamError:
    reason = f"{error.strerror or 'the disk failed'} ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    if error.errno in _FULL:
        return StoreFull(what, f"the disk of `{root}` is full: {reason}", "free some space; nothing was lost")
    if error.errno in _DENIED:
        return Refused(what, f"`{root}`: {reason}", f"allow this process to write in `{root}`")
    return Unreachable(what, f"`{root}`: {reason}", "look at the disk and its mount")
