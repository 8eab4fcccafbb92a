"""Translate errors of AWS: refused, missing, throttled or unreachable; which name, which role, what to allow.

The errors made here are botocore's own as well: `except ClientError` and `except client.exceptions.X` go on working.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError

_THROTTLED = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
    "ProvisionedThroughputExceededException", "PriorRequestNotComplete", "TooManyUpdates", "EC2ThrottledException",
}  # fmt: skip
_MISSING = {
    "ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound", "NotFoundException", "NoSuchKey",
    "NoSuchBucket", "NoSuchEntity", "NotFound", "404", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue",
}  # fmt: skip
_UNAVAILABLE = {
    "InternalServiceError", "InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable",
    "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "DependencyTimeoutException",
    "KMSInternalException", "500", "502", "503", "504",
}  # fmt: skip
_NO_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
}  # fmt: skip
_EXPIRED = {
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId",
    "InvalidSignatureException", "SignatureDoesNotMatch",
}  # fmt: skip
_NAMED_BY = (
    "SecretId", "SecretIdList", "Name", "Names", "Path", "KeyId", "TopicArn", "QueueUrl", "QueueName", "RoleArn",
    "FunctionName", "TableName", "Bucket",
)  # fmt: skip
_ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "secretsmanager:BatchGetSecretValue": "secretsmanager:BatchGetSecretValue and secretsmanager:GetSecretValue",
}
_DELETED = ("it is scheduled for deletion", "restore `{resource}`, or name another one")
_KEY_OFF = ("the KMS key is disabled, being deleted or not usable", "enable the KMS key of `{resource}`")
_KEY_ID = ("there is no such KMS key", "correct the id, ARN or alias of the KMS key for `{resource}`")
_STATES: dict[str, tuple[str, str]] = {
    "DecryptionFailure": _KEY_OFF,
    "DisabledException": _KEY_OFF,
    "KMSInvalidStateException": _KEY_OFF,
    "KeyUnavailableException": _KEY_OFF,
    "InvalidKeyId": _KEY_ID,
    "InvalidKeyUsageException": ("the KMS key is not for this use", "name a symmetric key for `{resource}`"),
    "EncryptionFailure": _KEY_OFF,
}
_ASKED = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)(?: on resource:? (\S+))?")
_SERVICES = {"monitoring": "cloudwatch", "email": "ses"}
_ROLE = re.compile(r"arn:aws[\w-]*:(?:sts|iam)::\d*:(?:assumed-role/([^/\s]+)/|(?:role|user)/(?:[^/\s]+/)*([^/\s]+))")


def action_of(service: str, operation: str) -> str:
    """Return an operation as IAM names it: `secretsmanager:GetSecretValue`."""
    action = f"{_SERVICES.get(service, service)}:{operation}"
    return _ACTIONS.get(action, action)


def resource_of(params: Mapping[str, Any]) -> str:
    """Return the name that a call is about; at most three of several."""
    for key in _NAMED_BY:
        value = params.get(key)
        if key == "Bucket" and value and params.get("Key"):
            return f"{value}/{params['Key']}"
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list | tuple) and value:
            return ", ".join(map(str, value[:3])) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    return ""


def explain(error: Exception, action: str, resource: str = "", identity: str = "") -> UpstreamError:
    """Return an `UpstreamError` that says what happened, why and what to do, and is of the given error's class too.

    Args:
        error: botocore's; one that was explained before is returned as it is.
        action: what was asked for, as IAM names it.
        resource: the name that it was about.
        identity: who asked, where AWS's message does not say.
    """
    if isinstance(error, UpstreamError):
        return error
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping):
        fields = answer.get("Error", {})
        status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        found = explain_code(str(fields.get("Code", "")) or status, str(fields.get("Message", "")), action, resource,
                             identity)  # fmt: skip
        if type(found) is Refused and status.startswith("5"):
            found = Unreachable(found.what, f"AWS failed ({status})", "try again later")
    else:
        found = _explain_transport(error, _what(action, resource), resource)
    return _join(found, error)


@contextmanager
def explained(action: str, resource: str = "") -> Iterator[None]:
    """Raise botocore's errors of a block as `explain` returns them."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explain(error, action, resource) from error


def explain_code(code: str, message: str, action: str, resource: str, identity: str = "") -> UpstreamError:
    """Return the error for a code that AWS answered; its message is only searched for the role, never repeated."""
    what = _what(action, resource)
    if code in _THROTTLED:
        return Throttled(what, f"AWS asks to come back later ({code})", "call it less often, or have its quota raised")
    if code in _MISSING:
        hint = f"check the name `{resource}`, the region and the account"
        return Missing(what, f"`{resource}` is not there ({code})", hint)
    if code in _UNAVAILABLE:
        return Unreachable(what, f"AWS failed ({code})", "try again later")
    if code in _EXPIRED:
        return Refused(what, f"the credentials are invalid or have expired ({code})", "sign in again, or renew them")
    if code in _STATES or (code == "InvalidRequestException" and "deletion" in message):
        why, hint = _STATES.get(code, _DELETED)
        return Refused(what, f"{why} ({code})", hint.format(resource=resource or "it"))
    asked = _ASKED.search(message)  # AWS names the very action that is missing: a parameter may need kms:Decrypt
    if asked:
        action, resource = asked[1], (asked[2] or resource).rstrip(".,") if asked[1] != action else resource
    named = _ROLE.search(message)
    role = next((part for part in named.groups() if part), "") if named else ""
    who = f"`{role}`" if role else identity or "the caller's role"
    target = f" on `{resource}`" if resource else ""
    if "AccessDenied" in code or "Unauthorized" in code or code in {"403", "AuthorizationError"}:
        return Refused(what, f"{who} may not do that ({code})", f"allow {action}{target} to {who}")
    return Refused(what, f"AWS refused it ({code or 'no code'})", f"see what {action}{target} needs of {who}")


def unknown_profile(name: str) -> Refused:
    """Return the error of a profile that AWS's configuration does not have, with those that it has."""
    from botocore.session import Session

    there = sorted(Session().available_profiles)
    known = f"it has {', '.join(there)}" if there else "it has none"
    near = next(iter(difflib.get_close_matches(name, there, 1)), None)
    make = f"make it: aws configure sso --profile {name}"
    return Refused(
        "AWS was not asked",
        f"AWS's configuration has no profile `{name}`; {known}",
        f"did you mean `{near}`? Or {make}" if near else f"correct AWS_PROFILE, or {make}",
    )


def _explain_transport(error: Exception, what: str, resource: str) -> UpstreamError:
    kind = type(error).__name__
    if kind == "ProfileNotFound":
        return unknown_profile(str(getattr(error, "kwargs", {}).get("profile", "")))
    if kind in _NO_CREDENTIALS:
        return Refused(
            what, f"there are no credentials ({kind})", "give the service a role, set AWS_PROFILE, or: aws sso login"
        )
    if "SSO" in kind or "Token" in kind:
        return Refused(what, f"the sign-in has expired ({kind})", "sign in again: aws sso login")
    if kind in {"NoRegionError", "InvalidRegionError"}:
        return Refused(what, "no region is set", "set AWS_REGION")
    if "Timeout" in kind:
        why = f"no answer in time ({kind})"
    elif kind == "SSLError":
        why = "its certificate could not be verified (SSLError)"
    else:
        why = f"no connection, or one that was cut ({kind})"
    about = f" for `{resource}`" if resource else ""
    return Unreachable(what, why, f"check the network{about}, the region, the VPC endpoint and AWS_ENDPOINT_URL")


def _what(action: str, resource: str) -> str:
    return f"AWS did not do {action}" + (f" on `{resource}`" if resource else "")


def _join(found: UpstreamError, error: Exception) -> UpstreamError:
    """Return an error of both classes, with all attributes of the original."""
    kind = _both((type(found), type(error)))
    made = kind.__new__(kind, *found.args)
    vars(made).update({**vars(error), **vars(found)})
    made.args = found.args
    made.__cause__ = error.__cause__
    return made


@lru_cache(maxsize=256)
def _both(kinds: tuple[type[UpstreamError], type[Exception]]) -> type[UpstreamError]:
    kind = kinds[0]

    def reduce(self: UpstreamError) -> tuple[type[UpstreamError], tuple[Any, ...]]:
        return kind, self.args  # botocore makes its classes at run time: what is pickled is ours

    both: Any = type(kind.__name__, kinds, {"__reduce__": reduce, "__module__": kind.__module__})
    return cast("type[UpstreamError]", both)
