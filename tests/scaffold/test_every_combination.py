"""Every combination of `--with` works from its first minute: tests, server, database, Lambda zip."""

import json
import re
import shutil
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import requests
from tests.bundle.wheelhouse import make_wheel, needed_by, repack
from tests.journeys.zygote import Process
from tests.lab.runtime_interface import LocalFunction
from tests.scaffold.kit import COMBINATIONS, Projects, Run, complaint

import carboy
from carboy.testing import events

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Wheels = dict[str, str]

PYTEST = ("-q", "-p", "carboy.testing.plugin", "-p", "no:cacheprovider")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", COMBINATIONS)
def test_it_works_from_its_first_minute(projects: Projects, run: Run, names_only: Wheels, name: str) -> None:
    """Nothing is to be set, made or filled in first: tests, server, migrations and the build for Lambda."""
    folder = projects[name]
    tests = run("pytest", *PYTEST, folder=folder)
    server = run("carboy", "serve", "--port", "0", folder=folder)
    built = run("carboy", "build", ".", "--python", PYTHON, folder=folder, **names_only)

    assert complaint(tests) == ""
    assert _serves(server, has_notes="db" in name) == ""
    assert _migrates(folder, run) == ""
    assert complaint(built) == ""
    assert _is_whole(folder / "dist" / "lambda_function.zip", "openapi" in name) == ""


def _serves(server: Process, has_notes: bool) -> str:
    """Say what is wrong with its answers, or with how it stops."""
    server.wait_for("Ctrl-C stops")
    expected = {"/": 200, "/livez": 200, "/readyz": 200, "/docs": 200, "/notes": 401 if has_notes else 404}
    try:
        found = {path: requests.get(server.url + path, timeout=60).status_code for path in expected}
    except requests.RequestException as error:
        return f"{error}: {server.said[-3000:]}"
    stopped = server.stop()
    return "" if found == expected and stopped == 0 else f"{found}, code {stopped}: {server.said[-3000:]}"


def _migrates(folder: Path, run: Run) -> str:
    """Say where a new database does not become what the models are."""
    url = {"DATABASE_URL": f"sqlite:///{folder.parent}/other.db"}
    wrong = complaint(run("carboy", "db", "upgrade", folder=folder, **url))
    if (folder / "migrations").exists():
        wrong += complaint(run("flask", "db", "migrate", "-m", "nothing", folder=folder, **url))
        versions = sorted(path.name for path in (folder / "migrations" / "versions").glob("*.py"))
        wrong += "" if versions == ["0001_notes.py"] else f"the first migration forgot something: {versions}"
    return wrong


def _is_whole(path: Path, has_document: bool) -> str:
    """Say what the zip lacks, or has and should not."""
    with zipfile.ZipFile(path) as zipped:
        names = set(zipped.namelist())
    needed = {"handler.py", "carboy.toml", "app/__init__.py", "carboy/__init__.py", "flask/__init__.py"}
    needed |= {"app/api/openapi.yaml"} if has_document else set()
    extra = {each for each in names if each.startswith(("tests/", "gunicorn"))}
    return f"it lacks {needed - names}, it should not have {extra}" if extra or needed - names else ""


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
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Carboy as it would be published."""
    folder = tmp_path_factory.mktemp("own")
    package = ROOT / "src"
    files = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in (package / "carboy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    make_wheel(folder, "carboy", files, version=carboy.__version__, requires=requires("carboy") or [])
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def names_only(own_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Has a build find Carboy, and of what that needs the names, versions and needs: enough to see what it takes."""
    folder = tmp_path_factory.mktemp("names")
    for name in needed_by("carboy[all]") - {"carboy"}:
        module = name.replace("-", "_")
        files = {f"{module}/__init__.py": ""}
        make_wheel(folder, module, files, version=version(name), requires=requires(name) or [])
    return _found(folder, own_wheel)


@pytest.fixture(scope="module")
def wheels(own_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Has a build find Carboy and all that it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    repack(folder, *sorted(needed_by("carboy[all]") - {"carboy"}))
    for wheel in folder.glob("*-manylinux_2_[2-9]*.whl"):  # an index has those for older systems as well
        wheel.rename(folder / re.sub(r"manylinux_2_\d+_", "manylinux_2_17_", wheel.name))
    return _found(folder, own_wheel)


def _found(folder: Path, own_wheel: Path) -> Wheels:
    """Return what has uv look into a folder and nowhere else; its cache is the tests' own."""
    shutil.copy(own_wheel, folder)
    return {"UV_FIND_LINKS": str(folder), "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "HOME": str(folder / "home")}


def test_its_zip_answers_under_the_runtime_of_lambda(
    projects: Projects, run: Run, wheels: Wheels, tmp_path: Path
) -> None:
    """AWS's own client runs it, on a guarded profile."""
    words = ("build", ".", "--python", PYTHON, "--target", str(tmp_path / "service.zip"))
    assert complaint(run("carboy", *words, folder=projects["openapi,lambda"], **wheels)) == ""
    with zipfile.ZipFile(tmp_path / "service.zip") as zipped:
        zipped.extractall(tmp_path / "task")
    told = {"FLASK_PROFILE": "prod", "SECRET_KEY": "k" * 40, "INSTANCE_PATH": str(tmp_path / "instance")}

    with LocalFunction(tmp_path / "task", "handler.handler", environ=told) as function:
        answer = function.invoke(events.http_v2("GET", "/greetings/Ann")).answer
        batch = function.invoke(events.sqs("hello", queue="orders-inbox")).answer

    assert json.loads(answer["body"]) == {"greetings": ["Hello, Ann"]}
    assert batch == {"batchItemFailures": []}
