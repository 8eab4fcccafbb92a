"""Ask Rackspace for temporary credentials of an AWS account that it manages (FAWS).

Source: Rackspace Identity API 2.0 (tokens, `RAX-KSKEY:apiKeyCredentials`); Fanatical Support for AWS API
(awsAccounts, credentials).
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from carboy.errors import ConfigurationError, Refused, Throttled, Unreachable
from carboy.extras import extra

IDENTITY_URL = "https://identity.api.rackspacecloud.com"
ACCOUNTS_URL = "https://accounts.api.manage.rackspace.com"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class RackspaceUser:
    """A user of Rackspace, with an API key."""

    username: str
    api_key: str = field(repr=False)


class Rackspace:
    """Client of Rackspace's two services; a user's token is fetched once.

    Args:
        identity_url: where tokens come from; https, or loopback.
        accounts_url: where credentials come from; https, or loopback.
        timeout_s: of each request.
    """

    def __init__(
        self, identity_url: str = IDENTITY_URL, accounts_url: str = ACCOUNTS_URL, timeout_s: float = 20.0
    ) -> None:
        for url in (identity_url, accounts_url):
            parts = urlsplit(url)
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
                raise ConfigurationError(
                    "Rackspace's address is not safe", "an API key travels only over https", "give an https address"
                )
        with extra("aws"):
            import urllib3
        self.identity_url: str = identity_url.rstrip("/")
        self.accounts_url: str = accounts_url.rstrip("/")
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_s), retries=False)
        self._tokens: dict[RackspaceUser, tuple[str, str]] = {}

    def credentials(self, user: RackspaceUser, account: str, duration_s: int) -> dict[str, str]:
        """Return `accessKeyId`, `secretAccessKey` and `sessionToken` for an account.

        Raises:
            Refused: the user, the key or the account is not accepted.
            Unreachable: no response, or one that cannot be read.
        """
        token, tenant = self._token(user)
        answer = self._post(
            f"{self.accounts_url}/v0/awsAccounts/{account}/credentials",
            {"credential": {"duration": str(duration_s)}},
            {"X-Auth-Token": token, "X-Tenant-Id": tenant},
            f"credentials of the account {account}",
        )
        found = answer.get("credential") if isinstance(answer, dict) else None
        names = ("accessKeyId", "secretAccessKey", "sessionToken")
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) and found[name] for name in names):
            raise _unreadable(f"credentials of the account {account}")
        return {name: found[name] for name in names}

    def _token(self, user: RackspaceUser) -> tuple[str, str]:
        if user not in self._tokens:
            wanted = {"username": user.username, "apiKey": user.api_key}
            answer = self._post(
                f"{self.identity_url}/v2.0/tokens",
                {"auth": {"RAX-KSKEY:apiKeyCredentials": wanted}},
                {},
                f"a token for `{user.username}`",
            )
            try:
                token = answer["access"]["token"]
                self._tokens[user] = str(token["id"]), str(token["tenant"]["id"])
            except (KeyError, TypeError):
                raise _unreadable(f"a token for `{user.username}`") from None
        return self._tokens[user]

    def _post(self, url: str, body: object, headers: dict[str, str], wanted: str) -> Any:
        from urllib3.exceptions import HTTPError

        what = f"Rackspace gave no {wanted.removeprefix('a ')}"
        headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        try:
            answer = self._pool.request(
                "POST", url, body=json.dumps(body).encode(), headers=headers, retries=False, redirect=False
            )
        except (HTTPError, UnicodeError) as error:
            raise Unreachable(
                what, f"no answer ({type(error).__name__})", "check the network and the address"
            ) from None
        status = answer.status
        if status == 429:
            raise Throttled(what, "it asks to come back later (429)", "try again in a minute")
        if status >= 500 or 300 <= status < 400:
            raise Unreachable(what, f"it answered {status}", "try again in a minute")
        if status >= 400:
            raise Refused(what, f"it answered {status}", "check the user name, the API key and the account's number")
        try:
            return json.loads(answer.data)
        except ValueError:
            raise _unreadable(wanted) from None


def _unreadable(wanted: str) -> Unreachable:
    return Unreachable(
        f"Rackspace gave no {wanted.removeprefix('a ')}",
        "its answer cannot be read",
        "check the address of the service",
    )
