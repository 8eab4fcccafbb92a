"""What a person sees: columns that fit, colours on a terminal alone, and names that were nearly right."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.kit import Carboy

from carboy.cli.output import did_you_mean, fit_widths, print_table


@pytest.mark.parametrize(
    ("widths", "room", "fitted"),
    [
        ([4, 10], 80, [4, 10]),
        ([4, 100], 40, [4, 34]),
        ([4, 100, 90], 60, [4, 26, 26]),
        ([20, 20], 10, [8, 8]),
        ([3, 3, 3], 1, [3, 3, 3]),
    ],
)
def test_columns_are_made_narrower_from_the_widest(widths: list[int], room: int, fitted: list[int]) -> None:
    """As far as they can still be read."""
    assert fit_widths(widths, room) == fitted


def on_a_terminal(folder: Path, *arguments: str, **environ: str) -> str:
    """Run the command on a terminal of 60 columns and return what it shows."""
    ours, theirs = pty.openpty()
    program = "import sys; from carboy.cli import main; sys.argv[0] = 'carboy'; sys.exit(main())"
    ran = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "60", "TERM": "xterm", **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    ran.wait()
    return shown.decode()


def test_a_table_fits_the_terminal(tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, "settings", "show")

    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 60
    assert any("…" in line for line in lines)
    assert "\x1b[1m" in shown


def test_what_names_a_row_is_shown_whole(tmp_path: Path) -> None:
    """On 60 columns: the id can be copied into the next command; a column without a value takes no room."""
    created = on_a_terminal(tmp_path, "keys", "create", "a-machine-with-a-long-name", "--scope", "archive:read")
    key = re.search(r"cby_([a-z0-9]+)_", created)
    shown = on_a_terminal(tmp_path, "keys", "list")

    assert key is not None
    assert f"\n{key[1]} " in shown
    assert "REVOKED" not in shown
    assert "NAME" in shown


def test_lists_are_shown_as_a_setting_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    """With commas; what is not a list of texts is JSON, and nothing is `-`."""
    print_table(("A", "B", "C", "D"), [(["captcha", "notice"], [], {"a": [1]}, None)])

    assert capsys.readouterr().out.splitlines()[1] == 'captcha, notice  []  {"a":[1]}  -'


def test_a_list_that_is_printed_alone_can_be_set_again(tmp_path: Path) -> None:
    """`settings get` shows no brackets."""
    shown = on_a_terminal(tmp_path, "settings", "get", "MODULES", MODULES="carboy.services.sms,carboy.services.archive")

    assert shown.strip() == "carboy.services.sms, carboy.services.archive"


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_switched_off(tmp_path: Path, environ: dict[str, str]) -> None:
    shown = on_a_terminal(tmp_path, "settings", "get", "PROT", **environ)

    assert "error:" in shown
    assert "\x1b" not in shown
    assert "\x1b[31merror:" in on_a_terminal(tmp_path, "settings", "get", "PROT")


def test_a_pipe_gets_whole_lines_without_colours(carboy: Carboy) -> None:
    ran = carboy("settings", "show")

    assert "\x1b" not in ran.out + ran.err
    assert "…" not in ran.out
    assert max(map(len, ran.out.splitlines())) > 60


def test_only_settings_that_were_changed_are_shown(carboy: Carboy, project: Path) -> None:
    (project / ".env").write_text("MODULES=orders\nJOBS_CONCURRENCY=3\n")

    shown = carboy("settings", "show", "--changed", "--json").json

    assert {"MODULES", "JOBS_CONCURRENCY"} <= set(shown)
    assert all(entry["layer"] != "default" for entry in shown.values())


@pytest.mark.parametrize(("given", "near"), [("serv", "serve"), ("doctr", "doctor"), ("setings", "settings")])
def test_a_misspelt_command_names_the_nearest(carboy: Carboy, given: str, near: str) -> None:
    ran = carboy(given)

    assert ran.code == 2
    assert f"Did you mean '{near}'?" in ran.err
    assert "Did you mean" not in carboy("zzz").err


def test_a_misspelt_variable_is_named(carboy: Carboy, project: Path) -> None:
    """In the environment and in `.env`, with Flask's prefix or without; other variables are ignored."""
    (project / ".env").write_text(
        "MODULES=orders\nDATABASE_ULR=x\nTRUSTED_PROXY=1\nFLASK_JOBS_CONCURENCY=2\nMY_OWN_THING=1\n"
    )

    warnings = carboy("settings", "check", "--json").json["warnings"]

    assert [
        did_you_mean(name, " ".join(warnings).split("`"))
        for name in ("DATABASE_URL", "JOBS_CONCURRENCY", "TRUSTED_PROXIES")
    ] == [
        "DATABASE_URL",
        "JOBS_CONCURRENCY",
        "TRUSTED_PROXIES",
    ]
    assert not any("MY_OWN_THING" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("x = = 3\n", "SyntaxError", "x = = 3"),
        ("def make():\n    return missing_name\n", "NameError", "return missing_name"),
        ("import json\n\njson.loads('{')\n", "JSONDecodeError", "json.loads('{')"),
        ("app = 1 / 0\n", "ZeroDivisionError", "app = 1 / 0"),
    ],
)
def test_an_error_in_the_application_shows_its_own_line(
    carboy: Carboy, project: Path, source: str, error: str, line: str
) -> None:
    """One error with the application's lines, without a frame of Flask or Carboy."""
    (project / "shop.py").write_text(source)

    ran = carboy("--app", "shop:make" if "def make" in source else "shop", "keys", "list")

    assert ran.code == 1
    assert error in ran.err
    assert "shop.py, line" in ran.err
    assert line in ran.err
    assert "site-packages" not in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", [("settings", "check"), ("keys", "list"), ("serve", "--port", "0")])
def test_an_error_in_a_module_shows_its_own_line_once(carboy: Carboy, project: Path, command: tuple[str, ...]) -> None:
    """Of a module that MODULES names, whichever command imports it; the server adds no lines about its workers."""
    (project / "orders.py").write_text("def register(app:\n    pass\n")
    (project / "carboy.toml").write_text('[default]\nmodules = ["orders"]\n')

    ran = carboy(*command)

    assert ran.code == 1
    assert ran.err.count("error: ") == 1
    assert "orders.py, line 1\n    def register(app:" in ran.err
    assert not any(
        word in ran.err + ran.out for word in ("Traceback", "importlib", "Worker", "no application was named")
    )


def test_a_job_can_be_looked_at(carboy: Carboy) -> None:
    assert carboy("jobs", "show", "17").code == 4
    assert "no such job" in carboy("jobs", "show", "17", "--json").err


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr: the titles stay alone on stdout."""
    print_table(("ID", "STATE"), [])

    assert capsys.readouterr() == ("ID  STATE\n", "there are none\n")
