"""A stand-in for Rackspace's identity service and its API for AWS accounts (FAWS).

Source: Rackspace Identity API 2.0; Fanatical Support for AWS API, awsAccounts and credentials.
"""

import re
from types import TracebackType
from typing import Any, Self

from carboy.testing.answers import Answer, Request, Step, json_answer
from carboy.testing.http_server import LoopbackServer

__all__ = ["FakeRackspace"]

_CREDENTIALS = re.compile(r"/v0/awsAccounts/([0-9]{12})/credentials")


class FakeRackspace:
    """Both services on one address of loopback; use it as a context manager.

    Attributes:
        users: API key by user name.
        accounts: the AWS accounts that there are.
        durations: what each request for credentials asked for, in seconds as text.
        token: the token that it gives.
        tenant: the tenant that goes with it.
    """

    def __init__(self, users: dict[str, str] | None = None, accounts: tuple[str, ...] = ("123456789012",)) -> None:
        """Make the stand-in; `users` is `{"rs-user": "rs-key"}` when None."""
        self.users: dict[str, str] = {"rs-user": "rs-key"} if users is None else users
        self.accounts = accounts
        self.token: str = "rs-token"
        self.tenant: str = "hybrid:123456"
        self.durations: list[str] = []
        self._server = LoopbackServer(self._answer)

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings with which a client finds it."""
        return {"RACKSPACE_IDENTITY_URL": self._server.url, "RACKSPACE_ACCOUNTS_URL": self._server.url}

    @property
    def requests(self) -> list[Request]:
        """Return what it was asked, in order."""
        return self._server.requests

    def script(self, *steps: Step) -> Self:
        """Give these answers first, one a request: errors, stalls, lies."""
        self._server.script(*steps)
        return self

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Answer:
        if request.method != "POST":
            return json_answer({"error": "method not allowed"}, 405)
        try:
            body = request.json()
            if request.path == "/v2.0/tokens":
                return self._give_token(body["auth"]["RAX-KSKEY:apiKeyCredentials"])
            found = _CREDENTIALS.fullmatch(request.path)
            return (
                self._give_credentials(request, found[1], body) if found else json_answer({"error": "not found"}, 404)
            )
        except (ValueError, KeyError, TypeError):
            return json_answer({"badRequest": {"code": 400, "message": "malformed"}}, 400)

    def _give_token(self, asked: dict[str, Any]) -> Answer:
        if self.users.get(asked["username"]) != asked["apiKey"]:
            return json_answer({"unauthorized": {"code": 401, "message": "Unable to authenticate user"}}, 401)
        token = {
            "id": self.token,
            "expires": "2100-01-01T00:00:00.000Z",
            "tenant": {"id": self.tenant, "name": self.tenant},
        }
        return json_answer({"access": {"token": token, "user": {"name": asked["username"]}}})

    def _give_credentials(self, request: Request, account: str, body: dict[str, Any]) -> Answer:
        if (request.headers.get("x-auth-token"), request.headers.get("x-tenant-id")) != (self.token, self.tenant):
            return json_answer({"error": {"code": 401, "message": "invalid token"}}, 401)
        if account not in self.accounts:
            return json_answer({"error": {"code": 404, "message": "no such account"}}, 404)
        self.durations.append(body["credential"]["duration"])
        made = {
            "accessKeyId": f"ASIAFAWS{account[:8]}",
            "secretAccessKey": f"faws-secret-{len(self.durations)}",
            "sessionToken": f"faws-session-{len(self.durations)}",
        }
        return json_answer({"credential": made})
