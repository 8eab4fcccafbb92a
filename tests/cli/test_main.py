"""The command line as a whole: what is printed where, and with which code it ends."""

import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from docs.tools.reference import commands
from tests.cli.kit import Carboy

from carboy.cli.main import COMMANDS

THERE = [name for name, (module, _) in COMMANDS.items() if find_spec(module) is not None]


def test_help_lists_every_command_and_imports_none(carboy: Carboy) -> None:
    """The first thing that a person types answers at once."""
    code = "import sys; from carboy.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)

    listed, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert all(re.search(rf"^  {name}  +\w", listed, re.MULTILINE) for name in THERE)
    assert not {"flask", "sqlalchemy", "boto3", "gunicorn"} & set(loaded.split())


@pytest.mark.parametrize("name", THERE)
def test_the_list_says_of_a_command_what_its_own_help_says(name: str) -> None:
    """The one line of help is written twice, and is the same."""
    module, line = COMMANDS[name]

    assert (import_module(module).command.help or "").strip().splitlines()[0] == line


@pytest.mark.parametrize("name", [" ".join(path) for path, _ in commands()])
def test_every_command_has_an_example(name: str) -> None:
    """Help is the manual's first page; the example is of this very command."""
    command = next(command for path, command in commands() if " ".join(path) == name)
    example = (command.help or "").partition("Example:")[2]

    assert name in re.sub(r"carboy (--\S+ \S+ )+", "carboy ", example)
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def test_a_misused_command_ends_with_2(carboy: Carboy) -> None:
    """Click says what is wrong, on stderr."""
    for arguments in (("nothing",), ("serve", "--port", "http"), ("keys", "create", "me"), ("jobs", "retry")):
        ended = carboy(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err


def test_a_wrong_configuration_ends_with_3_and_lists_every_fault(carboy: Carboy) -> None:
    """The error and the hint, without a traceback and without a value."""
    ended = carboy("settings", "check", "-e", "prod", JOBS_LEASE_S="hunter2", BODY_TIMEOUT_S="soon")

    assert (ended.code, ended.out) == (3, "")
    assert "JOBS_LEASE_S" in ended.err
    assert "BODY_TIMEOUT_S" in ended.err
    assert re.search(r"^error: .*\n(  .*\n)+hint: ", ended.err)
    assert "hunter2" not in ended.err
    assert "Traceback" not in ended.err


def test_the_options_of_all_commands_are_taken_before_and_after(carboy: Carboy, project: Path) -> None:
    """`--profile` and `--env-file` work everywhere."""
    (project / "other.env").write_text("MODULES=orders\nAPP=other\n")

    for arguments in (
        ("--profile", "test", "-f", "other.env", "settings", "get", "APP", "--json"),
        ("settings", "-e", "test", "get", "APP", "--json", "--env-file", "other.env"),
    ):
        assert carboy(*arguments).json["value"] == "other"
    assert carboy("settings", "get", "PROFILE", "-e", "production", SECRET_KEY="x" * 40).out == "prod\n"


def test_a_pipe_that_closes_early_is_no_fault_to_speak_of(project: Path) -> None:
    """`carboy settings show | head -1` prints one line and no traceback."""
    command = f"{sys.executable} -m carboy settings show | head -1"
    done = subprocess.run(command, shell=True, cwd=project, capture_output=True, text=True, check=True)  # noqa: S602

    assert done.stdout.startswith("NAME")
    assert done.stderr == ""


def test_an_interrupted_command_ends_with_130(project: Path) -> None:
    """Ctrl-C while it starts: no traceback."""
    (project / "sleepy.py").write_text("import pathlib, time\npathlib.Path('asleep').touch()\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "carboy", "keys", "list", "--app", "sleepy"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while not (project / "asleep").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err


def test_shells_complete_commands(carboy: Carboy) -> None:
    """`carboy se<TAB>` offers serve and settings."""
    ended = carboy(_CARBOY_COMPLETE="bash_complete", COMP_WORDS="carboy se", COMP_CWORD="1")

    assert {line.partition(",")[2] for line in ended.out.split()} >= {"serve", "settings"}


@pytest.mark.parametrize(
    ("arguments", "environ", "toml"),
    [
        (("--app", "shop:make"), {}, ""),
        ((), {"FLASK_APP": "shop:make"}, ""),
        ((), {}, 'app = "shop:make"\n'),
        (("--app", "shop:make"), {"FLASK_APP": "nothing"}, 'app = "nothing"\n'),
    ],
)
def test_the_application_is_found_as_flask_finds_it(
    carboy: Carboy, project: Path, arguments: tuple[str, ...], environ: dict[str, str], toml: str
) -> None:
    """The option, then `FLASK_APP`, then `carboy.toml`; else the built-in gateway."""
    (project / "shop.py").write_text("from flask import Flask\ndef make():\n    return Flask('shop')\n")
    (project / "carboy.toml").write_text(toml)

    ended = carboy("keys", "list", *arguments, **environ)

    assert ended.code == 2
    assert "no Carboy parts" in ended.err, "it is the shop, which was made without `create_app`"


@pytest.mark.parametrize(
    ("dotenv", "flaskenv", "found"),
    [
        ("", "FLASK_APP=shop:make\n", "no Carboy parts"),
        ("FLASK_APP=shop:make\n", "FLASK_APP=nothing\n", "no Carboy parts"),
        ("", "# for `flask`\nFLASK_DEBUG=1\nexport FLASK_APP='shop:make'\n", "no Carboy parts"),
        ("", "HOME_PAGE=${UNKNOWN}\n", ""),
    ],
)
def test_flaskenv_names_the_application(carboy: Carboy, project: Path, dotenv: str, flaskenv: str, found: str) -> None:
    """`.env` comes before it; a line that only python-dotenv can expand is left to Flask."""
    (project / "shop.py").write_text("from flask import Flask\ndef make():\n    return Flask('shop')\n")
    (project / "carboy.toml").unlink(missing_ok=True)
    (project / ".env").write_text(dotenv)
    (project / ".flaskenv").write_text(flaskenv)

    ended = carboy("keys", "list")

    assert found in ended.err
    assert (ended.code == 2) is bool(found)


def test_an_application_that_is_not_there_is_a_misuse(carboy: Carboy) -> None:
    """Flask's own words, no traceback."""
    ended = carboy("keys", "list", "--app", "nowhere:app")

    assert ended.code == 2
    assert "nowhere" in ended.err
    assert "hint: go to the folder that `nowhere` is in" in ended.err
    assert "Traceback" not in ended.err


def test_serve_ends_with_the_code_of_what_is_wrong_with_the_application(carboy: Carboy, project: Path) -> None:
    """2 where it is not there, 1 where it is broken; gunicorn's own codes mean something else."""
    (project / "broken.py").write_text("def make_app():\n    raise RuntimeError('no')\n")

    ends = [carboy("--app", app, "serve", "--port", "0") for app in ("gone", "broken")]

    assert [ended.code for ended in ends] == [2, 1]
