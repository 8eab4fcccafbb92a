"""The meaning of an object store's errors: what it said, in its own words, and what to do about each."""

import html
import re

from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.services.archive.objects import HeaderUnknown, ObjectUnavailable, StoreFull

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MESSAGE = re.compile(r"<Message>(.{1,2000}?)</Message>", re.DOTALL)
_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>")
_KMS_ACTION = re.compile(r"\bkms:[A-Za-z]+")
_MAX_MESSAGE = 400

_THROTTLES = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_TRANSIENT = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"})
_REGIONS = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "InvalidRegion",
        "PermanentRedirect",
        "Redirect",
        "TemporaryRedirect",
    }
)
_HINTS = {
    "RequestTimeTooSkewed": "correct this machine's clock: have it take its time from the network (chrony)",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID, and that the endpoint is of the partition that it belongs to",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY: it is not the secret of this access key",
    "AccountProblem": "see the account's state at the provider",
    "AllAccessDisabled": "see the account's state at the provider",
    "InvalidBucketName": "correct the bucket's name in `ARCHIVE_URL`",
    "MethodNotAllowed": "look at the bucket's policy and object lock",
    "InvalidRequest": "compare encryption, checksums and object lock of the bucket with what the message says",
}


def explain(error: Exception, what: str, name: str, action: str) -> UpstreamError:
    """Return the error for a failed call, from the status, the code and the message in obstore's words.

    Args:
        error: obstore's.
        what: what did not succeed.
        name: the store, for the message.
        action: what IAM calls it.
    """
    text, status, code = str(error), status_of(error), code_of(error)
    if not code and ("BareRedirect" in text or 300 <= status < 400):
        code = "TemporaryRedirect" if status in {302, 307} else "PermanentRedirect"
    said = _message(text)
    why = f"{name} answered {status or 'a redirect'} {code}".rstrip() + (f": {said}" if said else "")
    if code in _FULL or status == 507:
        return StoreFull(what, why, "make room, or raise the quota; nothing was lost")
    if code == "NoSuchBucket" or (isinstance(error, FileNotFoundError) and not code):
        return Missing(what, f"{name} is not there" + (f" ({code})" if code else ""), _bucket_hint(code))
    if code == "InvalidObjectState":
        hint = "restore the object from its storage class (s3:RestoreObject), or leave it out of the lifecycle rule"
        return ObjectUnavailable(what, why, hint)
    if status == 501:
        hint = "it does not know a header that is sent, such as the checksum: see whether a newer version does"
        return HeaderUnknown(what, why, hint)
    if code in _TRANSIENT:
        return Unreachable(what, why, "try again later")
    if status == 429 or code in _THROTTLES:
        return Throttled(what, why, "it is tried again, more slowly")
    if hint := _refusal_hint(code, said, text, name, action):
        return Refused(what, why, hint)
    if status in {401, 403}:
        other = "" if code else "; or a proxy or firewall answers, as no store does without an error code"
        return Refused(what, why, f"allow {action} on {name} to these credentials{other}")
    if status == 407:
        return Refused(what, why, "give the user and password of the proxy in HTTPS_PROXY, or leave it out by NO_PROXY")
    if 300 <= status < 500 and status not in {404, 408, 409}:
        return Refused(what, why, "compare region, endpoint and credentials with the bucket's own")
    if status:
        return Unreachable(what, why, "try again later")
    return Unreachable(what, f"{name} {_transport(text)}", _transport_hint(text))


def status_of(error: Exception) -> int:
    """Return the HTTP status of a response; 0 where there was none."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def code_of(error: Exception) -> str:
    """Return the error code in a response's XML, such as `NoSuchKey`; empty without one."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _message(text: str) -> str:
    found = _MESSAGE.search(text)
    return " ".join(html.unescape(found[1]).split())[:_MAX_MESSAGE] if found else ""


def _refusal_hint(code: str, said: str, text: str, name: str, action: str) -> str:
    """Return what to do about a refusal that a code names; empty for others."""
    if code in _REGIONS:
        region = _REGION.search(text)
        where = f"`{region[1]}`" if region else "the region of the bucket"
        return f"set AWS_REGION to {where}, and ARCHIVE_ENDPOINT to its endpoint where one is set"
    if code in _EXPIRED:
        return "the credentials have ended: sign in again, or see how they are renewed"
    if code.startswith("KMS."):
        return "enable the KMS key of the bucket's encryption, or choose another"
    if code == "AccessDenied" and (kms := _KMS_ACTION.search(said)):
        return f"allow {kms[0]} on the KMS key of the bucket's encryption to these credentials"
    if code == "AccessDenied" and "explicit deny" in said:
        return f"remove the explicit deny of {action} on {name}, in the policy that the message names"
    return _HINTS.get(code, "")


def _bucket_hint(code: str) -> str:
    return "make the bucket, or correct `ARCHIVE_URL`" if code else "make it, or correct `ARCHIVE_URL`"


def _transport(text: str) -> str:
    if "timed out" in text or "TimedOut" in text:
        return "did not answer in time"
    if "169.254." in text:
        return "was not asked: no credentials were found"
    said = "" if "HTTP error" in text else text.partition("\n")[0].rpartition("error: ")[2]
    return f"answered what cannot be used: {said[:_MAX_MESSAGE]}" if said else "could not be reached"


def _transport_hint(text: str) -> str:
    if "169.254." in text:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    return "look at the network, the endpoint and the region"
