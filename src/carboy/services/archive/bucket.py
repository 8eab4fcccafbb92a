"""Objects in a bucket (S3, Google Cloud Storage, Azure) or in memory, through obstore.

A new object goes out with `If-None-Match: *` and, to S3, its SHA-256, which the server checks. A server that ignores
the condition is found by putting the first object once more, one that does not know it says so (501); there an object
is looked for before it is put.
"""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Unreachable, UpstreamError
from carboy.retry import Retry
from carboy.services.archive.bucket_errors import code_of, explain, status_of
from carboy.services.archive.objects import (
    Entry,
    Head,
    HeaderUnknown,
    Put,
    StoredObject,
    check_key,
    check_prefix,
    missing,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PROBE = "carboy-probe"  # a prefix below which nothing stays
_NO_ETAG = '"00000000000000000000000000000000"'
_PAGE = 1000
_DELETERS = 8


class BucketStore:
    """Objects below a prefix of a bucket.

    Args:
        backend: obstore's store.
        name: how messages call it; holds no secret.
        attempts: tries in all for a new object that meets another writer's in the middle.
        clock: waits between them.
        is_conditional: whether the server is known to honour `If-None-Match`; None to find out with the first object.
    """

    def __init__(
        self,
        backend: "ObjectStore",
        name: str,
        attempts: int = 3,
        clock: Clock = SYSTEM_CLOCK,
        is_conditional: bool | None = True,
    ) -> None:
        self._backend, self._name, self._clock = backend, name, clock
        self._is_conditional = is_conditional
        self._policy = Retry(attempts, base_s=0.1, cap_s=1.0)

    def __repr__(self) -> str:
        return f"BucketStore({self._name!r})"

    def put_new(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> Put:
        """Store an object unless there is one under that key already, which is never overwritten.

        S3 answers 412 when there is one, and 409 while another is being written, which may yet fail. obstore calls
        both "already exists", so the second is distinguished here and retried.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        check_key(key)
        if self._is_conditional is False and self.head(key) is not None:
            return Put.EXISTED
        for attempt in range(1, self._policy.attempts + 1):
            try:
                with self._explained(f"the object `{key}` could not be stored", "s3:PutObject"):
                    attributes = {**(metadata or {}), "Content-Type": content_type}
                    mode: Any = "overwrite" if self._is_conditional is False else "create"
                    obstore.put(self._backend, key, data, mode=mode, attributes=attributes, use_multipart=False)
                    return Put.CREATED
            except AlreadyExistsError as error:
                if status_of(error) != 409 or code_of(error) == "BlobAlreadyExists":  # Azure's word for 412
                    return Put.EXISTED
            except HeaderUnknown:
                if self._is_conditional is False:
                    raise
                self._is_conditional = False
                return self.put_new(key, data, content_type, metadata)
            if attempt < self._policy.attempts:
                self._clock.sleep(self._policy.backoff_s(attempt))
        raise Unreachable(
            f"the object `{key}` could not be stored",
            f"{self._name} answered {self._policy.attempts} times that another writer is in the middle (409)",
            "try again later",
        )

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object in the place of whatever was there."""
        import obstore

        check_key(key)
        with self._explained(f"the object `{key}` could not be stored", "s3:PutObject"):
            attributes = {"Content-Type": content_type}
            obstore.put(self._backend, key, data, attributes=attributes, use_multipart=False)

    def get(self, key: str) -> bytes:
        """Return an object's content; raise `ObjectMissing` if it does not exist."""
        return self.read(key).data

    def read(self, key: str) -> StoredObject:
        """Return an object with its metadata; raise `ObjectMissing` if it does not exist."""
        import obstore

        check_key(key)
        with self._explained(f"the object `{key}` could not be read", "s3:GetObject"):
            try:
                found = obstore.get(self._backend, key)
                attributes = {str(name): value for name, value in found.attributes.items()}
                content_type = attributes.pop("Content-Type", "")
                return StoredObject(found.bytes().to_bytes(), content_type, attributes)
            except FileNotFoundError as error:
                if code_of(error) != "NoSuchBucket":
                    raise missing(key, self._name) from error
                raise

    def head(self, key: str) -> Head | None:
        """Return an object's facts without its content; None if it does not exist."""
        import obstore
        from obstore.exceptions import BaseError

        check_key(key)
        with self._explained(f"the object `{key}` could not be read", "s3:GetObject"):
            try:
                found = obstore.head(self._backend, key)
            except FileNotFoundError:
                return None
            except BaseError as error:
                if status_of(error) in {400, 403}:  # a response to HEAD has no body that says why
                    obstore.get_range(self._backend, key, start=0, length=1)
                raise
        return Head(found["size"], found["last_modified"])

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix, in the order in which the server has them."""
        import obstore

        bare = check_prefix(prefix)
        with self._explained(f"the objects below `{prefix}` could not be listed", "s3:ListBucket"):
            for page in obstore.list(self._backend, bare or None, offset=after or None, chunk_size=_PAGE):
                for found in page:
                    yield Entry(found["path"], found["size"], found["last_modified"])

    def delete(self, key: str) -> None:
        """Remove an object; there need be none."""
        import obstore

        check_key(key)
        with self._explained(f"the object `{key}` could not be removed", "s3:DeleteObject"):
            try:
                obstore.delete(self._backend, key)
            except FileNotFoundError:
                return

    def delete_all(self, keys: Collection[str]) -> None:
        """Remove objects, several at the same time."""
        with ThreadPoolExecutor(_DELETERS, thread_name_prefix="archive-delete") as pool:
            list(pool.map(self.delete, keys))

    def check(self) -> None:
        """Raise when the bucket cannot be used: what is tried are a list, and a put whose condition never holds."""
        import obstore
        from obstore.exceptions import PreconditionError

        with self._explained("the archive's store cannot be used", "s3:ListBucket"):
            for _ in obstore.list(self._backend, _PROBE, chunk_size=1):
                break
        if self._name == "memory":
            return
        key = f"{_PROBE}/write"  # one key: what a killed process leaves, the next check removes
        what = "nothing can be put into the archive's store"
        try:
            with self._explained(what, "s3:PutObject"):
                try:
                    obstore.put(self._backend, key, b"", mode={"e_tag": _NO_ETAG}, use_multipart=False)
                except (PreconditionError, FileNotFoundError) as error:
                    if code_of(error) == "NoSuchBucket":
                        raise
                    return  # it may be put, and is not
                except NotImplementedError:
                    return
        except HeaderUnknown:
            with self._explained(what, "s3:PutObject"):
                obstore.put(self._backend, key, b"", use_multipart=False)
        with suppress(UpstreamError):  # the server knows no such condition, and may allow no removal
            self.delete(key)

    def is_conditional(self) -> bool | None:
        """Return whether the server honours `If-None-Match`; None before `learn` on one of unknown make."""
        return self._is_conditional

    def learn(self, key: str, data: bytes, content_type: str) -> bool:
        """Put an object's own content once more, which a server that honours conditions refuses, and return that."""
        self._is_conditional = self.put_new(key, data, content_type) is Put.EXISTED
        return self._is_conditional

    @contextmanager
    def _explained(self, what: str, action: str) -> Iterator[None]:
        """Turn obstore's errors into ours; `AlreadyExistsError` goes through, and so do ours."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError:
            raise
        except (BaseError, OSError) as error:
            raise explain(error, what, self._name, action) from error
