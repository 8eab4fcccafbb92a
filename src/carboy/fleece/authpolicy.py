"""Fleece's `authpolicy`: the policy of a Lambda authorizer, over `carboy.serve.AuthPolicy`."""

from collections.abc import Mapping
from typing import Any

from carboy import serve
from carboy.errors import UsageError

__all__ = ["AuthPolicy", "HttpVerb"]


class HttpVerb:
    """The methods that a policy can name."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    HEAD = "HEAD"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"
    ALL = "*"


class AuthPolicy:
    """Build what a caller may do with an API; a wrong method or path, or a policy without rules, is a NameError."""

    def __init__(
        self,
        aws_account_id: str,
        principal: str | None = None,
        context: Mapping[str, Any] | None = None,
        rest_api_id: str | None = None,
        region: str | None = None,
        stage: str | None = None,
    ) -> None:
        """Say which API, in which stage, the policy is for; `*`, any, is the default."""
        region = region or "*"
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        arn = f"arn:{partition}:execute-api:{region}:{aws_account_id}:{rest_api_id or '*'}/{stage or '*'}"
        self._policy = serve.AuthPolicy(principal or "", arn, context or {})
        self._has_rules = False

    def allow_all_methods(self) -> None:
        """Allow everything."""
        self._add("allow", HttpVerb.ALL, "*", None)

    def deny_all_methods(self) -> None:
        """Deny everything."""
        self._add("deny", HttpVerb.ALL, "*", None)

    def allow_method(self, verb: str, resource: str) -> None:
        """Allow a method of a path."""
        self._add("allow", verb, resource, None)

    def deny_method(self, verb: str, resource: str) -> None:
        """Deny a method of a path."""
        self._add("deny", verb, resource, None)

    def allow_method_with_conditions(self, verb: str, resource: str, conditions: Any) -> None:
        """Allow a method of a path under IAM's conditions."""
        self._add("allow", verb, resource, conditions)

    def deny_method_with_conditions(self, verb: str, resource: str, conditions: Any) -> None:
        """Deny a method of a path under IAM's conditions."""
        self._add("deny", verb, resource, conditions)

    def build(self) -> dict[str, Any]:
        """Return the policy."""
        if not self._has_rules:
            raise NameError("No statements defined for the policy")
        return {"context": {}, **self._policy.build()}

    def _add(self, effect: str, verb: str, resource: str, conditions: Any) -> None:
        try:
            getattr(self._policy, effect)(verb, resource, conditions or None)
        except UsageError as error:
            raise NameError(str(error)) from error
        self._has_rules = True
