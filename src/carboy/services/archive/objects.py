"""What a store of objects is: its operations, its values, its errors, and which keys it takes.

Folders are in `folder`, S3 and its like in `bucket`; `store.open_store` picks by URL.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from carboy.errors import Fault, InvalidInput, Missing, Refused, Unreachable

_KEY = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*+(?:/[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*+)*+")
_MAX_KEY_BYTES = 900  # S3 takes 1,024 with the store's own prefix
_MAX_SEGMENT_BYTES = 255  # what file systems take


class Put(Enum):
    """What became of an object that was to be new."""

    CREATED = "created"
    EXISTED = "existed"


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an object without reading it."""

    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing."""

    key: str
    size_bytes: int
    modified_at: datetime

    @property
    def modified_at_ms(self) -> int:
        """The same in milliseconds since the epoch."""
        return int(self.modified_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was read.

    Attributes:
        data: its content.
        content_type: empty where the store has none.
        metadata: further attributes by name, such as `carboy-id`; a folder has none.
    """

    data: bytes
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class HeaderUnknown(Refused):
    """The store does not know a header that was sent: it answered 501."""


class StoreFull(Unreachable):
    """The store has no room left; the same call works again once there is some."""


class ObjectMissing(Missing):
    """There is no object under a key, in a store that answers."""


class ObjectUnavailable(Refused):
    """One object cannot be read while others can: it must be restored from a cold storage class, or is damaged."""


class Store(Protocol):
    """Objects under keys, each written whole or not at all; safe to share between threads.

    Every method but `list` and `check` makes one request at most. What they raise: `InvalidInput` for a key that
    `check_key` refuses; `Refused`, `Missing`, `Throttled`, `Unreachable` and `StoreFull` for what the store said.
    """

    def put_new(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> Put:
        """Store an object unless there is one under that key already, which is never overwritten.

        Its metadata are names and values of visible ASCII, dropped where the store has no place for them. When this
        returns, the object, ours or the earlier one, survives a power cut.
        """
        ...

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object in the place of whatever was there; it survives a power cut when this returns."""
        ...

    def get(self, key: str) -> bytes:
        """Return an object's content.

        Raises:
            Missing: no object has that key.
        """
        ...

    def read(self, key: str) -> StoredObject:
        """Return an object with its content type and metadata.

        Raises:
            ObjectMissing: no object has that key.
            ObjectUnavailable: it cannot be read as it is stored.
        """
        ...

    def head(self, key: str) -> Head | None:
        """Return an object's facts without its content; None if it does not exist."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix, lazily; those after a key only, when one is given.

        Args:
            prefix: whole segments of keys (`webhooks/2017/01` finds `webhooks/2017/01/16`, not `webhooks/2017/010`),
                with or without a slash at its end; the empty one finds everything.
            after: a key; it and those before it are left out.

        Objects come in the byte order of their keys from S3, from memory and from a folder. SeaweedFS orders by
        folder, so that there `a/x` comes before `a b/x`; within one folder of objects, which is all that a minute
        of the archive is, and between folders whose names have one length, the order is the same.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; there need be none."""
        ...

    def delete_all(self, keys: Collection[str]) -> None:
        """Remove objects as `delete` does, at a lower cost for each."""
        ...

    def check(self) -> None:
        """Raise an `UpstreamError` when objects cannot be listed or put; cheap enough for a readiness probe."""
        ...

    def is_conditional(self) -> bool | None:
        """Return whether `put_new` never overwrites, also when two writers come at once; None when not known yet."""
        ...

    def learn(self, key: str, data: bytes, content_type: str) -> bool:
        """Find that out with an object that was just put, which stays as it is, and return it."""
        ...


def check_key(key: str) -> None:
    """Refuse a key that could mean different things to different stores, or leave the folder.

    A key is segments joined by `/`: none empty, none beginning with a dot, no backslash (SeaweedFS takes it for a
    slash), no control character, each at most 255 bytes of UTF-8, all of it at most 900.

    Raises:
        InvalidInput: the key breaks one of these rules.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = -1
    if not 0 < size <= _MAX_KEY_BYTES or not _KEY.fullmatch(key) or not _segments_fit(key, size):
        detail = "an object's key is 1 to 900 bytes of segments that do not begin with a dot, joined by `/`"
        raise InvalidInput("the object's key is not one", detail, "see `check_key` for the rule", [Fault("", detail)])


def check_prefix(prefix: str) -> str:
    """Return a prefix without the slash at its end; empty stays empty.

    Raises:
        InvalidInput: it is no beginning of a key.
    """
    bare = prefix.removesuffix("/")
    if bare:
        check_key(bare)
    return bare


def missing(key: str, where: str) -> ObjectMissing:
    """Return the error for an object that is not there."""
    return ObjectMissing(f"the object `{key}` could not be read", f"{where} has none under that key", "check the key")


def _segments_fit(key: str, size: int) -> bool:
    return size <= _MAX_SEGMENT_BYTES or all(len(part.encode()) <= _MAX_SEGMENT_BYTES for part in key.split("/"))
