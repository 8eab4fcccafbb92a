"""`carboy new`: what it writes, what it says, what it refuses."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.scaffold.kit import Projects

from carboy.cli.new import command
from carboy.errors import CarboyError, UsageError
from carboy.scaffold import Choices, check_name, make_service, parse_choices
from carboy.scaffold.writing import write_files

ALWAYS = {
    *("carboy.toml", ".env.example", "pyproject.toml", "README.md", "Dockerfile", "template.yaml", "gunicorn.conf.py"),
    *("app/__init__.py", "wsgi.py", "handler.py", "tests/test_service.py"),
}


def test_the_tree_is_the_one_that_was_promised(projects: Projects) -> None:
    """Some files always, some by what was asked for."""
    for name, folder in projects.items():
        chosen = set(name.split(","))
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert files >= ALWAYS, name
        assert ("app/models.py" in files) is ("migrations/env.py" in files) is ("db" in chosen), name
        assert ("app/api/openapi.yaml" in files) is ("openapi" in chosen), name
        assert ("app/events.py" in files) is ("lambda" in chosen), name


def test_the_services_are_modules(projects: Projects) -> None:
    """The skeleton knows nothing of any."""
    document = tomllib.loads((projects["archive,sms"] / "carboy.toml").read_text())

    assert document["default"]["modules"] == ["app", "carboy.services.archive", "carboy.services.sms"]


def test_every_setting_can_be_found_in_the_example(projects: Projects) -> None:
    """Those of the services only where they are; every line is a comment, so a copy changes nothing."""
    lines = (projects["sms"] / ".env.example").read_text().splitlines()

    assert all(line.startswith("#") or not line for line in lines)
    assert any(line.startswith("# SMS_PROVIDER=outbox ") for line in lines)
    assert "SMS_PROVIDER" not in (projects["nothing"] / ".env.example").read_text()


def test_the_files_are_printed_and_what_to_do_next_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data on stdout, all else on stderr."""
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(command, ["orders", "--with", "db"])

    assert told.exit_code == 0
    assert "orders/app/models.py" in told.stdout.splitlines()
    assert "cd orders" in told.stderr


def test_one_json_document_is_printed_on_request(tmp_path: Path) -> None:
    """For programs."""
    told = CliRunner().invoke(command, [str(tmp_path / "orders"), "--json"])

    assert "wsgi.py" in json.loads(told.stdout)["written"]


def test_the_working_folder_can_become_the_service_while_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mkdir orders && cd orders && carboy new .`."""
    (tmp_path / "orders").mkdir()
    monkeypatch.chdir(tmp_path / "orders")

    assert "wsgi.py" in make_service(Path(), Choices())
    assert 'name = "orders"' in Path("pyproject.toml").read_text()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    """With any content; the hint says how to add to it."""
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "mine.txt").write_text("mine")

    with pytest.raises(UsageError) as refused:
        make_service(tmp_path / "orders", Choices())

    assert "--into" in refused.value.hint
    assert [path.name for path in (tmp_path / "orders").iterdir()] == ["mine.txt"]


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    """It is no folder."""
    (tmp_path / "orders").write_text("mine")

    with pytest.raises(UsageError, match="a file of that name"):
        make_service(tmp_path / "orders", Choices())


def test_what_cannot_be_written_whole_is_not_written_at_all(tmp_path: Path) -> None:
    """Half a service would be in the way of the next try."""
    (tmp_path / "b").write_text("mine")

    with pytest.raises(CarboyError, match="File exists"):
        write_files(tmp_path, {"a/new.py": "", "b": "theirs"})

    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "why", "other"),
    [
        ("class", "keyword", "class_service"),
        ("my-service", "letters", "my_service"),
        ("Orders", "lower-case", "orders"),
        ("2fast", "begins with a letter", "service_2fast"),
        ("bücher", "letters", "b_cher"),
        ("json", "standard library", "json_service"),
        ("flask", "needs", "flask_service"),
        ("sqlalchemy", "needs", "sqlalchemy_service"),
        ("yaml", "needs", "yaml_service"),
        ("app", "every service", "app_service"),
        ("tests", "every service", "tests_service"),
        ("carboy", "every service", "carboy_service"),
        ("", "letters", "service"),
    ],
)
def test_a_name_that_would_not_work_is_refused_with_one_that_would(name: str, why: str, other: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=why) as refused:
        check_name(name)

    assert refused.value.exit_code == 2
    assert f"`{other}`" in refused.value.hint
    check_name(other)


@pytest.mark.parametrize("name", ["orders", "shop2", "a", "my_service", "requests_log"])
def test_other_names_are_taken(name: str) -> None:
    """A distribution elsewhere of that name does not matter."""
    check_name(name)


def test_an_unknown_choice_is_refused_with_the_nearest() -> None:
    """And with all that there are."""
    with pytest.raises(UsageError, match="db, archive, sms, openapi, lambda, console") as refused:
        parse_choices(["db,opnapi"])

    assert "`openapi`" in refused.value.hint


def test_choices_are_said_in_one_or_in_several() -> None:
    """Spaces and capitals do not matter."""
    assert parse_choices(["db, SMS", "lambda,db"]) == Choices(frozenset({"db", "sms", "lambda"}))
