"""The answer of a Lambda authorizer: a policy that API Gateway reads, or an HTTP API's simple yes or no.

Source: Amazon API Gateway Developer Guide, "Output from an API Gateway Lambda authorizer" and "Control access to HTTP
APIs with AWS Lambda authorizers".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from carboy.errors import UsageError

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "*"}
_PATH = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%?-]*")

Conditions = Mapping[str, Mapping[str, Any]]
Effect = Literal["Allow", "Deny"]


class Unauthorized(Exception):
    """The caller is not known: API Gateway answers 401 when an authorizer ends with exactly this message."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@dataclass(frozen=True, slots=True)
class _Rule:
    effect: Effect
    method: str
    path: str
    conditions: Conditions | None


@dataclass(slots=True)
class AuthPolicy:
    """Build what a caller may do with an API; what is not allowed is denied.

    Attributes:
        principal_id: who calls, for the logs and for the integration.
        arn: `methodArn` or `routeArn` of the authorizer's event: says which API and stage the policy is for.
        context: strings, numbers and booleans that reach the integration as `requestContext.authorizer`.
        usage_key: the API key whose usage plan applies, when the API takes its keys from the authorizer.
    """

    principal_id: str
    arn: str
    context: Mapping[str, Any] = field(default_factory=dict)
    usage_key: str | None = None
    _rules: list[_Rule] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def for_event(cls, event: Mapping[str, Any], principal_id: str, context: Mapping[str, Any] | None = None) -> "AuthPolicy":  # fmt: skip  # noqa: E501
        """Return a policy, still without rules, for the API and stage of an authorizer's event."""
        return cls(principal_id, event.get("methodArn") or event["routeArn"], context or {})

    def allow(self, method: str = "*", path: str = "*", conditions: Conditions | None = None) -> "AuthPolicy":
        """Allow a method of a path; `*` in the path stands for anything, `conditions` are those of IAM policies.

        Raises:
            UsageError: there is no such method, or the path has characters that no path has.
        """
        return self._add("Allow", method, path, conditions)

    def deny(self, method: str = "*", path: str = "*", conditions: Conditions | None = None) -> "AuthPolicy":
        """Deny a method of a path, whatever else allows it.

        Raises:
            UsageError: there is no such method, or the path has characters that no path has.
        """
        return self._add("Deny", method, path, conditions)

    def build(self) -> dict[str, Any]:
        """Return the policy, for a REST API or for an HTTP API without simple responses."""
        answer: dict[str, Any] = {
            "principalId": self.principal_id,
            "policyDocument": {"Version": "2012-10-17", "Statement": self._statements()},
        }
        if self.context:
            answer["context"] = _checked_context(self.context)
        if self.usage_key:
            answer["usageIdentifierKey"] = self.usage_key
        return answer

    def build_simple(self) -> dict[str, Any]:
        """Return an HTTP API's simple response: whether the policy allows the very request that asks.

        Raises:
            UsageError: a rule has conditions, which only API Gateway can judge.
        """
        if any(rule.conditions for rule in self._rules):
            raise UsageError(
                "a simple response cannot be given",
                "the policy has conditions, which only API Gateway can judge",
                "turn simple responses of the authorizer off, or leave the conditions out",
            )
        answer: dict[str, Any] = {"isAuthorized": self._allows(*self._asked())}
        if self.context:
            answer["context"] = dict(self.context)
        return answer

    def _add(self, effect: Effect, method: str, path: str, conditions: Conditions | None) -> "AuthPolicy":
        if method.upper() not in _METHODS:
            raise UsageError(
                "the policy cannot be built", f"there is no method `{method}`", "name an HTTP method or `*`"
            )
        if not _PATH.fullmatch(path):
            raise UsageError("the policy cannot be built", f"`{path}` is no path", "encode it as in a URL; `*` is any")
        self._rules.append(_Rule(effect, method.upper(), path.lstrip("/"), conditions))
        return self

    def _statements(self) -> list[dict[str, Any]]:
        if not self._rules:
            return [_statement("Deny", [self._resource("*", "*")], None)]
        statements = []
        for effect in ("Allow", "Deny"):
            plain = [
                self._resource(rule.method, rule.path)
                for rule in self._rules
                if rule.effect == effect and not rule.conditions
            ]
            if plain:
                statements.append(_statement(effect, plain, None))
        statements += [
            _statement(rule.effect, [self._resource(rule.method, rule.path)], rule.conditions)
            for rule in self._rules
            if rule.conditions
        ]
        return statements

    def _resource(self, method: str, path: str) -> str:
        api, stage = self.arn.split("/")[:2]
        return f"{api}/{stage}/{method}/{path}"

    def _asked(self) -> tuple[str, str]:
        _, _, method, *path = self.arn.split("/", 3)
        return method, path[0] if path else ""

    def _allows(self, method: str, path: str) -> bool:
        effects = {
            rule.effect
            for rule in self._rules
            if rule.method in {"*", method} and fnmatchcase(path, rule.path.replace("[", "[[]"))
        }
        return effects == {"Allow"}


def render_decision(decision: Any, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what API Gateway wants for what an authorizer's function returned.

    Args:
        decision: an `AuthPolicy`; a bool, for or against all of the API; a dict, which is sent as it is; None when the
            caller is not known.
        event: the authorizer's event; only format 2.0 knows simple responses, which a bool is answered with there.

    Raises:
        Unauthorized: there is no decision.
    """
    match decision:
        case AuthPolicy():
            return decision.build()
        case True | False:
            if "routeArn" in event:
                return {"isAuthorized": decision}
            policy = AuthPolicy.for_event(event, "user")
            return (policy.allow() if decision else policy.deny()).build()
        case None:
            raise Unauthorized
        case _:
            return dict(decision)


def _statement(effect: str, resources: list[str], conditions: Conditions | None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resources}
    if conditions:
        statement["Condition"] = conditions
    return statement


def _checked_context(context: Mapping[str, Any]) -> dict[str, Any]:
    bad = sorted(name for name, value in context.items() if not isinstance(value, str | int | float | bool))
    if bad:
        raise UsageError(
            "the policy cannot be built",
            f"API Gateway takes strings, numbers and booleans as context, and `{'`, `'.join(bad)}` is none",
            "encode it as a string, such as JSON",
        )
    return dict(context)
