"""Client of AWS's Secrets Manager agent and of its Lambda extension: secrets over loopback, without boto3.

Source: "Using the AWS Secrets Manager Agent" in the user guide of AWS Secrets Manager.
"""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from carboy.config.environ import read_environ
from carboy.errors import ConfigurationError

_TOKENS = ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
_MAX_BYTES = 1_000_000


class Agent:
    """Fetches secrets from an agent.

    Args:
        url: such as `http://127.0.0.1:2773`.
        timeout_s: how long it may take.

    Raises:
        ConfigurationError: the address is not one of plain HTTP.
    """

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}")
        if parts.scheme not in {"", "http"} or not parts.hostname:
            raise ConfigurationError(
                "`AWS_SECRETS_AGENT` cannot be used", "it is not an address of plain HTTP", "http://127.0.0.1:2773"
            )
        self._host, self._port, self._timeout_s = parts.hostname, parts.port or 2773, timeout_s

    def secret(self, name: str, stage: str, *, refresh: bool = False) -> dict[str, Any] | None:
        """Return a secret as `GetSecretValue` would; None where the agent does not return it.

        Args:
            name: of the secret.
            stage: of its version.
            refresh: make the agent fetch it from AWS; the Lambda extension cannot.
        """
        query = {"secretId": name, "versionStage": stage, **({"refreshNow": "true"} if refresh else {})}
        found = self._get(f"/secretsmanager/get?{urlencode(query)}")
        return found if found is not None and "VersionId" in found else None

    def _get(self, target: str) -> dict[str, Any] | None:
        connection = HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("GET", target, headers={"X-Aws-Parameters-Secrets-Token": _token(read_environ())})
            with connection.getresponse() as response:
                body = response.read(_MAX_BYTES)
                found = json.loads(body) if response.status == 200 else None
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return found if isinstance(found, dict) else None


def _token(environ: Mapping[str, str]) -> str:
    """Return the token that the agent expects; it may be in a file (`file:///var/run/awssmatoken`)."""
    token = next((environ[name] for name in _TOKENS if environ.get(name)), "")
    if token.startswith("file://"):
        try:
            return Path(token.removeprefix("file://")).read_text("utf-8").strip()
        except OSError:
            return ""
    return token
