"""Every combination of `--with` works from its first minute: tests, server, database, Lambda zip."""

import json
import shutil
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
import requests
from tests.bundle.wheelhouse import make_wheel, repack
from tests.scaffold.conftest import Projects, Run, complaint, failures

import carboy
from carboy.scaffold.names import _needed
from carboy.testing import events
from carboy.testing.runtime_interface import LocalFunction

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTEST = ("-q", "-p", "carboy.testing.plugin", "-p", "no:cacheprovider")


def test_its_own_tests_pass(group: Projects, run: Run) -> None:
    """Nothing has to be set, made or filled in first."""
    assert failures(group, lambda folder: complaint(run("pytest", *PYTEST, folder=folder))) == {}


def test_it_serves(group: Projects, run: Run) -> None:
    """Before anybody has heard of migrations; then it stops in order."""

    def check(folder: Path) -> str:
        server = run("carboy", "serve", "--port", "0", folder=folder)
        server.wait_for("Ctrl-C stops")
        found = {
            path: requests.get(server.url + path, timeout=60).status_code
            for path in ("/", "/livez", "/readyz", "/docs")
        }
        if (folder / "app" / "notes.py").exists():
            found["/notes"] = requests.get(f"{server.url}/notes", timeout=60).status_code
        stopped = server.stop()
        expected = {path: 401 if path == "/notes" else 200 for path in found}
        return "" if found == expected and stopped == 0 else f"{found}, code {stopped}: {server.said[-3000:]}"

    assert failures(group, check) == {}


def test_its_database_comes_to_its_newest(group: Projects, run: Run) -> None:
    """`carboy db upgrade` works at once, and `flask db migrate` finds nothing that the migrations left out."""

    def check(folder: Path) -> str:
        url = {"DATABASE_URL": f"sqlite:///{folder.parent}/other.db"}
        wrong = complaint(run("carboy", "db", "upgrade", folder=folder, **url))
        if (folder / "migrations").exists():
            before = sorted((folder / "migrations" / "versions").glob("*.py"))
            wrong += complaint(run("flask", "db", "migrate", "-m", "nothing", folder=folder, **url))
            wrong += "" if sorted((folder / "migrations" / "versions").glob("*.py")) == before else "a new migration"
        return wrong

    assert failures(group, check) == {}


def test_a_change_of_its_models_becomes_a_migration(projects: Projects, run: Run, tmp_path: Path) -> None:
    """`flask db migrate` writes it, `carboy db upgrade` and `downgrade` go there and back."""
    folder = tmp_path / "orders"
    shutil.copytree(projects["db"], folder, ignore=shutil.ignore_patterns("instance"))
    models = folder / "app" / "models.py"
    models.write_text(
        models.read_text().replace(
            "words: Mapped[int | None]\n", "words: Mapped[int | None]\n    by: Mapped[int | None]\n"
        )
    )

    for program, *words in (
        ("carboy", "db", "upgrade"),
        ("flask", "db", "migrate", "-m", "by whom"),
        ("carboy", "db", "upgrade"),
        ("carboy", "db", "check"),
        ("carboy", "db", "downgrade"),
    ):
        assert complaint(run(program, *words, folder=folder)) == ""

    (made,) = (folder / "migrations" / "versions").glob("*_by_whom.py")
    assert '"by", sa.Integer()' in made.read_text().replace("'", '"')


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an index would have: Carboy, and all that it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    package = ROOT / "src"
    files = {
        path.relative_to(package).as_posix(): path.read_text("utf-8")
        for path in (package / "carboy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    make_wheel(folder, "carboy", files, version=carboy.__version__, requires=requires("carboy") or [])
    for name in sorted(_needed() - {"carboy"}):
        try:
            repack(folder, name)
        except (LookupError, ImportError):  # a module's name, or not needed on this system
            continue
    return folder


def test_it_is_built_for_lambda(group: Projects, run: Run, wheels: Path) -> None:
    """The zip has the service's code, its data, and what it needs."""
    environ = {"UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "HOME": str(wheels.parent)}

    def build(folder: Path) -> str:
        return complaint(run("carboy", "build", ".", "--python", PYTHON, folder=folder, **environ))

    first = dict([next(iter(group.items()))])  # the others find its packages in the cache
    assert failures(first, build) | failures({name: group[name] for name in group if name not in first}, build) == {}

    for name, folder in group.items():
        with zipfile.ZipFile(folder / "dist" / "lambda_function.zip") as zipped:
            names = set(zipped.namelist())
        assert {"handler.py", "carboy.toml", "app/__init__.py", "carboy/__init__.py", "flask/__init__.py"} <= names, (
            name
        )
        assert ("app/api/openapi.yaml" in names) is ("openapi" in name), name
        assert not any(path.startswith(("tests/", "gunicorn")) for path in names), name


def test_its_zip_answers_under_the_runtime_of_lambda(
    projects: Projects, run: Run, wheels: Path, tmp_path: Path
) -> None:
    """AWS's own client runs it, on a guarded profile."""
    environ = {"UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "HOME": str(wheels.parent)}
    words = ("build", ".", "--python", PYTHON, "--target", str(tmp_path / "service.zip"))
    assert complaint(run("carboy", *words, folder=projects["openapi,lambda"], **environ)) == ""
    with zipfile.ZipFile(tmp_path / "service.zip") as zipped:
        zipped.extractall(tmp_path / "task")
    told = {"FLASK_PROFILE": "prod", "SECRET_KEY": "k" * 40, "INSTANCE_PATH": str(tmp_path / "instance")}

    with LocalFunction(tmp_path / "task", "handler.handler", environ=told) as function:
        answer = function.invoke(events.http_v2("GET", "/greetings/Ann")).answer
        batch = function.invoke(events.sqs("hello", queue="orders-inbox")).answer

    assert json.loads(answer["body"]) == {"greetings": ["Hello, Ann"]}
    assert batch == {"batchItemFailures": []}
