"""Resolve references to secrets and parameters in batches."""

import json
from collections.abc import Mapping, Sequence

from carboy.aws.parameter_store import ParameterCache
from carboy.aws.secrets import SecretCache, SecretValue
from carboy.config import Reference
from carboy.errors import CarboyError, Missing, Refused, UsageError


class SecretResolver:
    """`aws-secretsmanager:/dev/flask-rds#password`: a secret, or a field of a JSON secret."""

    def __init__(self, secrets: SecretCache, *, renew: bool = False) -> None:
        self._secrets, self._renew = secrets, renew

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str | CarboyError | None]:
        """Return for each reference its text, an error, or None where the secret does not exist."""
        found = self._secrets.get_many((one.name for one in references), renew=self._renew)
        return {one: _text(one, found[one.name]) for one in references}


class ParameterResolver:
    """`aws-parameterstore:/shared/twilio/token`: a parameter."""

    def __init__(self, parameters: ParameterCache, *, renew: bool = False) -> None:
        self._parameters, self._renew = parameters, renew

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str | CarboyError | None]:
        """Return for each reference its text, an error, or None where the parameter does not exist."""
        found = self._parameters.get_many((one.name for one in references), renew=self._renew)
        return {one: _or_none(found[one.name]) for one in references}


def _text(reference: Reference, answer: SecretValue | CarboyError) -> str | CarboyError | None:
    if isinstance(answer, CarboyError):
        return _or_none(answer)
    try:
        if not reference.field:
            return answer.text
        value = answer[reference.field]
    except UsageError as error:
        return error
    except KeyError:
        return Refused(str(reference), f"the secret has no field `{reference.field}`", "see what is in it")
    if value is None:
        return Refused(str(reference), f"the field `{reference.field}` of the secret is null", "give it a value")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _or_none(answer: str | CarboyError) -> str | CarboyError | None:
    return None if isinstance(answer, Missing) else answer
