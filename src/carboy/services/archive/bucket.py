"""Objects in a bucket (S3, Google Cloud Storage, Azure) or in memory, through obstore.

A new object goes out with `If-None-Match: *` and, to S3, its SHA-256, which the server checks.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.retry import Retry
from carboy.services.archive.objects import Entry, Head, Put, StoreFull, check_key, check_prefix, missing

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["BucketStore"]

_PROBE = "carboy-readiness"  # a prefix below which nothing is ever written
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_THROTTLES = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_PAGE = 1000


class BucketStore:
    """Objects below a prefix of a bucket.

    Args:
        backend: obstore's store.
        name: how messages call it; holds no secret.
        attempts: tries in all for a new object that meets another writer's in the middle.
        clock: waits between them.
    """

    def __init__(self, backend: "ObjectStore", name: str, attempts: int = 3, clock: Clock = SYSTEM_CLOCK) -> None:
        self._backend, self._name, self._clock = backend, name, clock
        self._policy = Retry(attempts, base_s=0.1, cap_s=1.0)

    def __repr__(self) -> str:
        return f"BucketStore({self._name!r})"

    def put_new(self, key: str, data: bytes, content_type: str) -> Put:
        """Store an object unless there is one under that key already, which is never overwritten.

        S3 answers 412 when there is one, and 409 while another is being written, which may yet fail. obstore calls
        both "already exists", so the second is told apart here and tried again.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        check_key(key)
        for attempt in range(1, self._policy.attempts + 1):
            try:
                with self._explained(f"the object `{key}` could not be stored", "s3:PutObject"):
                    attributes = {"Content-Type": content_type}
                    obstore.put(self._backend, key, data, mode="create", attributes=attributes, use_multipart=False)
                    return Put.CREATED
            except AlreadyExistsError as error:
                if _status(error) != 409 or _code(error) == "BlobAlreadyExists":  # Azure's word for 412
                    return Put.EXISTED
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
        """Return an object's content; `Missing` when there is none."""
        import obstore

        check_key(key)
        with self._explained(f"the object `{key}` could not be read", "s3:GetObject"):
            try:
                return obstore.get(self._backend, key).bytes().to_bytes()
            except FileNotFoundError as error:
                if _code(error) != "NoSuchBucket":
                    raise missing(key, self._name) from error
                raise

    def head(self, key: str) -> Head | None:
        """Return what is known of an object without reading it; None when there is none."""
        import obstore

        check_key(key)
        with self._explained(f"the object `{key}` could not be read", "s3:GetObject"):
            try:
                found = obstore.head(self._backend, key)
            except FileNotFoundError:
                return None
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

    def check(self) -> None:
        """Raise when the bucket does not answer, is not there, or may not be listed."""
        import obstore

        with self._explained("the archive's store cannot be used", "s3:ListBucket"):
            for _ in obstore.list(self._backend, _PROBE, chunk_size=1):
                return

    @contextmanager
    def _explained(self, what: str, action: str) -> Iterator[None]:
        """Turn obstore's errors into ours; `AlreadyExistsError` goes through, and so do ours."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError:
            raise
        except (BaseError, OSError) as error:
            raise _explain(error, what, self._name, action) from error


def _explain(error: Exception, what: str, name: str, action: str) -> UpstreamError:
    """Say what a failed call means, from the status and the code in obstore's words."""
    text = str(error)
    status, code = _status(error), _code(error)
    why = f"{name} answered {status or 'a redirect'} {code}".rstrip()
    if code in _FULL or status == 507:
        return StoreFull(what, why, "make room, or raise the quota; nothing was lost")
    if code == "NoSuchBucket" or (isinstance(error, FileNotFoundError) and not code):
        return Missing(what, f"{name} is not there", "make the bucket, or correct `ARCHIVE_URL`")
    if status == 429 or code in _THROTTLES:
        return Throttled(what, why, "it is tried again, more slowly")
    if status in {401, 403}:
        return Refused(what, why, f"allow {action} on {name} to these credentials")
    if (300 <= status < 500 and status not in {404, 408, 409}) or "BareRedirect" in text:
        return Refused(what, why, "compare region, endpoint and credentials with the bucket's own")
    if status:
        return Unreachable(what, why, "try again later")
    return Unreachable(what, f"{name} {_silence(text)}", _hint(text))


def _silence(text: str) -> str:
    if "timed out" in text or "TimedOut" in text:
        return "did not answer in time"
    if "169.254." in text:
        return "was not asked: no credentials were found"
    return "could not be reached"


def _hint(text: str) -> str:
    if "169.254." in text:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    return "look at the network, the endpoint and the region"


def _status(error: Exception) -> int:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""
