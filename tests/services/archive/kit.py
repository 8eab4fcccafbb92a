"""Helpers shared by the tests of `services/archive`."""

import time
from typing import Any, Protocol
from uuid import uuid4

from flask import Flask
from werkzeug.test import TestResponse

from carboy.clock import Clock
from carboy.services.archive import archive_of
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Store
from carboy.testing.processes import AwsServer
from carboy.web import runtime


def bucket_of(server: AwsServer, prefix: str = "", **options: Any) -> Store:
    """Return a store on a server's bucket, under a prefix that no other test uses."""
    given = {
        "endpoint": server.url,
        "region": server.region,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }
    return open_store(f"s3://archive/{prefix or uuid4().hex}", **{**given, **options})


class Gateway:
    """The archive in this process, with its jobs running, and a client that may do everything."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.archive = archive_of(app)
        self.key = self.make_key("archive:write", "archive:read", "jobs:admin")

    def make_key(self, *scopes: str) -> str:
        key: str = runtime(self.app).keys.store.create("test", scopes)[1]
        return key

    def open(self, method: str, path: str, **sent: Any) -> TestResponse:
        """Send a request with nothing that lets it in."""
        return self.app.test_client().open(path, method=method, **sent)

    def get(self, path: str, **sent: Any) -> TestResponse:
        return self.open("GET", path, **self.signed(sent))

    def post(self, path: str, **sent: Any) -> TestResponse:
        return self.open("POST", path, **self.signed(sent))

    def send(self, *alerts: dict[str, Any], wait: float = 20) -> TestResponse:
        """Post alerts as Threat Stack does, and wait until they are archived."""
        return self.post(f"/api/v1/s3/alert?wait={wait}", json={"alerts": alerts})

    def kept(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects."""
        return sorted(entry.key for entry in self.archive.store.list(prefix))

    def read(self, key: str) -> bytes:
        return self.archive.store.get(key)

    def wait_until_idle(self) -> None:
        """Wait until no job is left to do."""
        deadline = time.monotonic() + 20
        while any(self.get(f"/api/jobs?state={state}").get_json()["jobs"] for state in ("queued", "running")):
            assert time.monotonic() < deadline, "the jobs do not come to an end"
            time.sleep(0.02)

    def signed(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {**sent, "headers": {"Authorization": f"Bearer {self.key}", **(sent.get("headers") or {})}}


class Serve(Protocol):
    """Starts a gateway with these settings and this `carboy.toml`."""

    def __call__(self, *, toml: str = "", profile: str = "test", clock: Clock = ..., **settings: Any) -> Gateway: ...
