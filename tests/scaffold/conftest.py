"""A service for each combination of `--with`, made once; and processes that start quickly."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.zygote import Process, Zygote
from tests.scaffold.kit import COMBINATIONS, Projects, Run

from carboy.scaffold import CHOICES, Choices, make_service


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    """The folder of each, by what it was made with."""
    root = tmp_path_factory.mktemp("made")
    made = {name: root / name.replace(",", "_") / "orders" for name in COMBINATIONS}
    for name, folder in made.items():
        make_service(folder, Choices(COMBINATIONS[name]))
    return made


@pytest.fixture(scope="session")
def whole(projects: Projects) -> Path:
    """The one with everything."""
    return projects[",".join(CHOICES)]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs `carboy`, `flask` or `pytest` in a folder, with nothing of this process's settings."""
    logs = tmp_path_factory.mktemp("logs")
    numbers = itertools.count()
    environ = {"LOG_FORMAT": "json", "DRAIN_LINGER_S": "0", "NO_COLOR": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with Zygote("pytest", "flask.cli", "gunicorn.app.base", "carboy.cli.db", "carboy.bundle.build") as zygote:

        def start(program: str, *words: str, folder: Path, **more: str) -> Process:
            log_path = logs / f"{next(numbers)}.log"
            return zygote.run(*words, folder=folder, environ={**environ, **more}, log_path=log_path, program=program)

        yield start
