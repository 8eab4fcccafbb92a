"""Applications of the tests' own modules, and the lines that they log."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from flask import Flask, abort, request
from tests.lab.migrated import migrated_url
from tests.web.kit import Adopt, Lines, MakeApp, Register, numbers

from carboy import logs
from carboy.errors import Unreachable
from carboy.problems import Problem
from carboy.testing.clock import ManualClock
from carboy.web import create_app, init_app, runtime


@pytest.fixture(scope="session")
def instance_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the documents are parsed once."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture
def make_module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def make(register: Register | None = None, **brings: Any) -> str:
        module = ModuleType(f"carboy_test_module_{next(numbers)}")
        vars(module).update({"register": register or (lambda app: None), **brings})
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module.__name__

    return make


@pytest.fixture
def make_app(tmp_path: Path, instance_path: Path, make_module: Callable[..., str]) -> Iterator[MakeApp]:
    made: list[Flask] = []

    def make(
        register: Register | None = None,
        *,
        profile: str = "test",
        clock: ManualClock | None = None,
        brings: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> Flask:
        settings: dict[str, Any] = {
            "modules": make_module(register, **(brings or {})),
            "instance_path": str(instance_path),
            "log_format": "json",
            **overrides,
        }
        if "database_url" not in settings:
            settings["database_url"] = migrated_url(tmp_path / "test.db", settings["modules"])
        more: dict[str, Any] = {} if clock is None else {"clock": clock}
        app = create_app(profile, folder=tmp_path, **more, **settings)
        made.append(app)
        return app

    yield make
    for app in made:
        runtime(app).close()


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    yield
    logs.reset()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What was logged since the last look, or only the events of a name."""

    def read(event: str | None = None) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line for line in found if event in {None, line["event"]}]

    return read


@pytest.fixture
def adopt(tmp_path: Path) -> Iterator[Adopt]:
    """Return an ordinary application after `init_app`; `before` is called with it first."""
    made: list[Flask] = []

    def make(
        parts: list[str] | None = None, before: Callable[[Flask], object] = lambda app: None, **config: Any
    ) -> Flask:
        app = Flask("theirs", root_path=str(tmp_path))
        app.config.from_mapping(
            SECRET_KEY="their-own", DATABASE_URL=f"sqlite:///{tmp_path}/x.db", INSTANCE_PATH=str(tmp_path), **config
        )

        @app.get("/boom")
        def boom() -> NoReturn:
            raise ZeroDivisionError("theirs")

        @app.get("/gone")
        def gone() -> NoReturn:
            abort(410, "it was sold")

        @app.get("/away")
        def away() -> NoReturn:
            raise Unreachable("the shop", "it is away", "wait")

        @app.get("/taken")
        def taken() -> NoReturn:
            raise Problem(409, "it is taken", headers={"Retry-After": "3"})

        @app.post("/upload")
        def upload() -> str:
            return str(len(request.get_data()))

        before(app)
        init_app(app, parts, folder=tmp_path)
        made.append(app)
        return app

    yield make
    for app in made:
        runtime(app).close()
