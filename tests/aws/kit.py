"""Helpers shared by the tests of `aws`."""

import json
from collections import Counter
from itertools import count
from typing import Any

from carboy.testing.processes import AwsServer

_numbers = count()


class Aws:
    """moto, and what was called.

    Attributes:
        calls: how often each operation was asked for by `client(…)`.
        params: what the last call of each operation said.
    """

    def __init__(self, server: AwsServer) -> None:
        self.server = server
        self.calls: Counter[str] = Counter()
        self.params: dict[str, Any] = {}
        self._admin: dict[str, Any] = {}

    def admin(self, service: str) -> Any:
        """Return a client whose calls are not counted."""
        return self._admin.setdefault(service, self.server.client(service))

    def client(self, service: str) -> Any:
        """Return a client whose calls are counted."""
        made = self.server.client(service)
        self.count(made)
        return made

    def count(self, client: Any) -> None:
        """Count the calls of a client."""

        def note(model: Any, params: Any, **_: Any) -> None:
            self.calls[model.name] += 1
            self.params[model.name] = json.loads(params["body"])

        client.meta.events.register("before-call.*", note)

    def name(self, text: str = "secret") -> str:
        """Return a name that no other test has."""
        return f"/test/{text}-{next(_numbers)}"

    def secret(self, value: Any, name: str | None = None) -> str:
        """Make a secret, of JSON, text or bytes, and return its name."""
        name = name or self.name()
        kind = {"SecretBinary": value} if isinstance(value, bytes) else {"SecretString": _text(value)}
        self.admin("secretsmanager").create_secret(Name=name, **kind)
        return name

    def put(self, name: str, value: Any, stage: str = "AWSCURRENT") -> str:
        """Give a secret another version and return its id."""
        put = self.admin("secretsmanager").put_secret_value
        return str(put(SecretId=name, SecretString=_text(value), VersionStages=[stage])["VersionId"])

    def parameter(self, name: str, value: str, kind: str = "String") -> None:
        """Make or change a parameter."""
        self.admin("ssm").put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
