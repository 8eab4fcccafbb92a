"""`carboy new . --into`: an existing Flask project gets what it lacks; nothing of its own is changed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.scaffold.kit import Run, complaint

from carboy.cli.new import command
from carboy.errors import CarboyError, UsageError
from carboy.scaffold import Choices, adopt
from carboy.scaffold.requirement import find_origin

FACTORY = """
import logging

from flask import Flask


def create_app(config=None):
    logging.basicConfig()
    shop = Flask(__name__)
    shop.config["SECRET_KEY"] = "their own"

    @shop.get("/hello")
    def hello():
        return "hello"

    return shop
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project as they are: a package with a factory, its dependencies, and a container file."""
    folder = tmp_path / "my-shop"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "__init__.py").write_text(FACTORY)
    (folder / "requirements.txt").write_text("flask\n")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_missing_is_added_and_what_the_application_has_is_kept(shop: Path) -> None:
    """Both are reported."""
    before = contents(shop)

    done = adopt(shop, Choices())

    after = contents(shop)
    assert {path: after[path] for path in before} == before
    assert (
        set(done.written)
        == set(after) - set(before)
        == {".dockerignore", ".env.example", "carboy.toml", "gunicorn.conf.py"}
    )
    assert done.kept == {"Dockerfile": "it is yours"}
    assert done.app == "shop:create_app"


def test_a_second_time_changes_nothing(shop: Path) -> None:
    """Each file is reported as unchanged."""
    adopt(shop, Choices(frozenset({"lambda"})))
    before = contents(shop)

    done = adopt(shop, Choices(frozenset({"lambda"})))

    assert contents(shop) == before
    assert done.written == ()
    assert done.kept["carboy.toml"] == "it is there already, and the same"
    assert done.kept["Dockerfile"] == "it is yours"


def test_the_two_lines_are_shown_with_their_own_names(shop: Path) -> None:
    """In which file, where in it, and under what name they hold their application."""
    pastes = adopt(shop, Choices()).pastes

    (where,) = [each for each in pastes if each.startswith("shop/__init__.py")]
    assert pastes[where][0] == "import carboy"
    assert pastes[where][1].startswith('carboy.init_app(shop, parts=["request_ids"')
    assert pastes["requirements.txt (your dependencies)"][0] == find_origin().requirement(["serve"])


def test_once_pasted_they_are_not_shown_again(shop: Path, run: Run) -> None:
    """And the parts are there, under `carboy serve` and on Lambda."""
    done = adopt(shop, Choices(frozenset({"lambda"})))
    lines = "".join(
        f"    {line}\n" for where, each in done.pastes.items() if "init_app" in "".join(each) for line in each
    )
    (shop / "shop" / "__init__.py").write_text(FACTORY.replace("    return shop\n", f"{lines}    return shop\n"))
    (shop / "requirements.txt").write_text("flask\ncarboy\n")

    assert adopt(shop, Choices(frozenset({"lambda"}))).pastes == {}
    assert '"keys"' in adopt(shop, Choices(frozenset({"db"}))).notes[-1], (
        "who wants the database later is told its parts"
    )
    assert complaint(run("carboy", "lambda", "invoke", "--sample", "http-v2", "--path", "/livez", folder=shop)) == ""
    told = run("carboy", "lambda", "invoke", "--sample", "http-v2", "--path", "/hello", folder=shop)
    assert complaint(told) == ""
    assert '"body": "hello"' in told.said


def test_an_application_of_create_app_lacks_no_lines(shop: Path) -> None:
    """`carboy.create_app` gives every part."""
    made = "import carboy\n\n\ndef create_app():\n    app = carboy.create_app()\n    return app\n"
    (shop / "shop" / "__init__.py").write_text(made)
    (shop / "carboy.toml").write_text('app = "shop:create_app"\n')

    assert "init_app" not in str(adopt(shop, Choices(frozenset())).pastes)


def test_the_configuration_of_gunicorn_serves_it(shop: Path) -> None:
    """As gunicorn itself reads it."""
    adopt(shop, Choices())

    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config"],
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"app.py": "import flask\napp = flask.Flask('x')\n"}, "app:app"),
        ({"src/shop/web.py": "from flask import Flask\nserver: Flask = Flask('x')\n"}, "shop.web:server"),
        ({"wsgi.py": "from flask import Flask\na = Flask('x')\n", "shop/make.py": FACTORY}, "shop.make:create_app"),
        (
            {"a.py": "from flask import Flask\nx = Flask('x')\n", "b.py": FACTORY, ".flaskenv": "FLASK_APP=a.py\n"},
            "a:x",
        ),
        ({"a.py": "x = 1\n", ".env": "FLASK_APP=shop.main:make_app\n"}, "shop.main:make_app"),
        ({"tests/test_x.py": "from flask import Flask\nx = Flask('x')\n", "b.py": FACTORY}, "b:create_app"),
        ({"bad.py": "def (:\n", "b.py": FACTORY}, "b:create_app"),
    ],
    ids=[
        "variable",
        "src layout",
        "factory before variable",
        "flaskenv",
        "named in .env",
        "not in tests",
        "broken file",
    ],
)
def test_their_application_is_found(tmp_path: Path, files: dict[str, str], app: str) -> None:
    """By reading, not by importing: none of the application's code runs."""
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert adopt(tmp_path, Choices()).app == app


def test_a_factory_that_needs_arguments_is_not_used(tmp_path: Path) -> None:
    """It could not be called; and without an application nothing is written."""
    (tmp_path / "a.py").write_text(FACTORY.replace("config=None", "config"))

    with pytest.raises(UsageError, match="no Flask application") as refused:
        adopt(tmp_path, Choices())

    assert "FLASK_APP" in refused.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]


@pytest.mark.parametrize(
    ("line", "app"),
    [
        ("app = create_app(os.getenv('STAGE', 'dev'))", "wsgi:app"),
        ("application = a.make_app('dev')", "wsgi:application"),
    ],
)
def test_the_application_that_such_a_factory_makes_is_found(tmp_path: Path, line: str, app: str) -> None:
    """Where a module assigns it, as `wsgi.py` does."""
    (tmp_path / "a.py").write_text(FACTORY.replace("config=None", "config"))
    (tmp_path / "wsgi.py").write_text(f"import os\nimport a\nfrom a import create_app\n{line}\n")

    assert adopt(tmp_path, Choices()).app == app


@pytest.mark.parametrize("choice", ["archive", "sms", "openapi"])
def test_what_is_no_part_of_another_is_refused(shop: Path, choice: str) -> None:
    """With what to do instead."""
    with pytest.raises(UsageError, match=choice) as refused:
        adopt(shop, Choices(frozenset({choice})))

    assert refused.value.hint
    assert "carboy.toml" not in contents(shop)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """There is nothing to adopt."""
    with pytest.raises(UsageError, match="no such folder"):
        adopt(tmp_path / "nowhere", Choices())


def test_a_folder_that_cannot_be_written_is_left_as_it_was(shop: Path) -> None:
    """A link to a missing target may have the name of one of Carboy's files."""
    (shop / "gunicorn.conf.py").symlink_to("nowhere/at/all")
    before = contents(shop)

    with pytest.raises(CarboyError, match="File exists"):
        adopt(shop, Choices())

    assert contents(shop) == before


def test_a_list_is_printed_and_the_lines_are_counted(shop: Path) -> None:
    """Data on stdout, all else on stderr."""
    told = CliRunner().invoke(command, [str(shop), "--into"])

    assert told.exit_code == 0
    assert "wrote  carboy.toml" in told.stdout.splitlines()
    assert "kept   Dockerfile: it is yours" in told.stdout.splitlines()
    assert "carboy.init_app(shop" in told.stderr
    assert json.loads(CliRunner().invoke(command, [str(shop), "--into", "--json"]).stdout)["written"] == []


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("click==7.1.2\nFlask==2.3.0\n", ["click==7.1.2", "flask==2.3.0"]),
        ("gunicorn==21.2.0  # as before\n", ["gunicorn==21.2.0"]),
        ("Flask[async] == 2.0\nmsgspec>=0.1\n", ["flask==2.0"]),
        ("click==8.3.0\nflask==3.1.2\nsqlalchemy==1.4.0\n", []),
    ],
)
def test_pins_that_cannot_be_installed_with_carboy_are_named(shop: Path, lines: str, named: list[str]) -> None:
    """Of what the paste's extras need, and of nothing else."""
    (shop / "requirements.txt").write_text(lines)

    notes = [note for note in adopt(shop, Choices()).notes if "requirements.txt" in note]

    assert [pin in note for note in notes for pin in named] == [True] * len(named)
    assert bool(notes) is bool(named)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("requirements.txt", "flask<3\n", ["flask<3"]),
        ("requirements.txt", "Flask~=2.3.1\nclick~=8.2\n", ["flask~=2.3.1"]),
        ("requirements/prod.txt", "-r base.txt\nclick==7.0\n", ["click==7.0"]),
        ("pyproject.toml", '[project]\ndependencies = ["flask<3", "click==8.0.0"]\n', ["flask<3", "click==8.0.0"]),
        ("pyproject.toml", '[project]\ndependencies = [\n  "flask>=3.1",\n  "click==7.1.2",\n]\n', ["click==7.1.2"]),
        ("pyproject.toml", '[tool.poetry.dependencies]\nflask = "^2.1"\npython = "^3.11"\n', ["flask^2.1"]),
        ("setup.cfg", "[options]\ninstall_requires =\n    Flask==3.0.0\n    click==8.0.0\n", ["click==8.0.0"]),
        ("setup.py", "setup(install_requires=['Flask==2.0', 'click'])\n", ["flask==2.0"]),
        ("Pipfile", '[packages]\nflask = "==2.0"\nclick = "*"\n', ["flask==2.0"]),
        ("pyproject.toml", '[project]\ndependencies = ["flask>=3,<4", "click<9"]\n', []),
        ("setup.cfg", "[options]\ninstall_requires = flask\n", []),
    ],
)
def test_versions_are_read_from_every_usual_file(shop: Path, name: str, text: str, named: list[str]) -> None:
    """Pins and upper limits; the file is named."""
    (shop / name).parent.mkdir(exist_ok=True)
    (shop / name).write_text(text)

    notes = [note for note in adopt(shop, Choices()).notes if "cannot be installed" in note]

    assert [name in note and pin in note for note in notes for pin in named] == [True] * len(named)


@pytest.mark.parametrize("profile", ["local", "prod"])
def test_settings_of_the_application_itself_count_for_the_commands(shop: Path, profile: str, run: Run) -> None:
    """Its SECRET_KEY stands in its code, and the gateway's settings are not required."""
    adopt(shop, Choices())
    path = shop / "shop" / "__init__.py"
    path.write_text(
        FACTORY.replace("    return shop\n", "    import carboy\n    carboy.init_app(shop)\n    return shop\n")
    )

    assert not complaint(run("carboy", "--profile", profile, "settings", "check", folder=shop))
