"""An application with the console, its address on loopback, a browser, and axe-core."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.console.kit import MakeApp
from tests.lab.migrated import migrated_url
from werkzeug.serving import BaseWSGIServer, make_server

from carboy import logs
from carboy.testing.clock import ManualClock
from carboy.web import create_app, runtime

_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    yield
    logs.reset()


@pytest.fixture(scope="session")
def instance_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the documents are parsed once."""
    return tmp_path_factory.mktemp("console-instance")


@pytest.fixture
def make_app(tmp_path: Path, instance_path: Path) -> Iterator[MakeApp]:
    made: list[Flask] = []

    def make(profile: str = "local", clock: ManualClock | None = None, **overrides: Any) -> Flask:
        settings: dict[str, Any] = {
            "modules": (),
            "instance_path": str(instance_path),
            "archive_url": f"file://{tmp_path}/archive",
            "sms_outbox": str(tmp_path / "outbox.ndjson"),
            "log_format": "json",
            "rate_limit": "off",
            **overrides,
        }
        if "database_url" not in settings:
            settings["database_url"] = migrated_url(tmp_path / "test.db", settings["modules"])
        more: dict[str, Any] = {} if clock is None else {"clock": clock}
        if "sms_outbox" in settings and "carboy.services.sms" not in settings["modules"]:
            del settings["sms_outbox"]
        if "carboy.services.archive" not in settings["modules"]:
            del settings["archive_url"]
        app = create_app(profile, folder=tmp_path, **more, **settings)
        made.append(app)
        return app

    yield make
    for app in made:
        runtime(app).close()


class _Server:
    def __init__(self, app: Flask) -> None:
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url: str = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serve an application on loopback and return its address."""
    servers: list[_Server] = []

    def start(app: Flask) -> str:
        servers.append(_Server(app))
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")  # Playwright runs an event loop in this thread: tests elsewhere could start none
def browser() -> Iterator[Any]:
    """Return Debian's Chromium, driven by Playwright."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=_ARGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the source of axe-core at the locked version, installed by `npm ci` into a folder of its own."""
    if shutil.which("npm") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("npm is not installed: apt-get install npm")
        pytest.skip("npm is not installed: apt-get install npm")
    here = Path(__file__).parent
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "carboy-tests" / "axe"
    lock = (here / "package-lock.json").read_bytes()
    source = cache / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file() or (cache / "package-lock.json").read_bytes() != lock:
        cache.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(here / name, cache / name)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=cache, capture_output=True, check=False
        )
        if done.returncode != 0:
            if os.environ.get("CI") == "true":
                pytest.fail(f"axe-core could not be installed: {done.stderr.decode()[-500:]}")
            pytest.skip("axe-core could not be installed: `npm ci` in tests/console needs a registry")
    return source.read_text("utf-8")
