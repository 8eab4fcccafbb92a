"""`init_app` keeps what an application has in its own `config`, and reads only what concerns its parts."""

import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.web.kit import Lines

from carboy.errors import ConfigurationError
from carboy.web import init_app, runtime


def _adopt(folder: Path, parts: list[str] | None = None, toml: str = "", **config: Any) -> Flask:
    """Return an application in a folder of its own, after `init_app`."""
    (folder / "carboy.toml").write_text(toml, encoding="utf-8")
    app = Flask("theirs", root_path=str(folder))
    app.config.update(config)
    init_app(app, parts, folder=folder)
    runtime(app).close()
    return app


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", b'_5#y2L"F4Q8z\n\xec]/'),
        ("SECRET_KEY", "text"),
        ("INSTANCE_PATH", "its-own"),
        ("APP", "shop"),
        ("MODULES", ["shop.orders"]),
        ("RATE_LIMIT", "100/m"),
        ("LOG_FILE", "shop.log"),
        ("LOG_FORMAT", "%(asctime)s %(message)s"),
        ("LOG_LEVEL", logging.INFO),
        ("LOG_LEVEL", "info"),
        ("LOG_LEVEL", "WARN"),
        ("CONSOLE", "tty"),
        ("DEBUG", 1),
        ("PROFILE", True),
        ("DB_PORT", "5432"),
    ],
)
def test_a_value_of_the_application_stays_the_same_object(tmp_path: Path, name: str, value: Any) -> None:
    """Whatever Carboy makes of it for itself; and what only a part that is not there would read may be anything."""
    app = _adopt(tmp_path, **{name: value})

    assert app.config[name] is value


@pytest.mark.parametrize("given", [logging.ERROR, "error", "ERROR", "FATAL"])
def test_the_part_logs_knows_the_levels_of_logging(tmp_path: Path, given: Any) -> None:
    """By name in any case, by number, and by the other names of `logging`."""
    app = _adopt(tmp_path, ["settings"], LOG_LEVEL=given)
    read = Flask("theirs")
    read.config["LOG_LEVEL"] = given

    held = init_app(read, ["metrics", "logs"], folder=tmp_path)

    assert held.web.log_level == ("CRITICAL" if given == "FATAL" else "ERROR")
    assert app.config["LOG_LEVEL"] is given
    held.close()


@pytest.mark.parametrize(
    ("name", "given"),
    [("SESSION_COOKIE_NAME", "mine"), ("GREETING", "mine"), ("MAX_FORM_PARTS", 9), ("SQLALCHEMY_ECHO", "mine")],
)
@pytest.mark.parametrize("is_environment", [True, False])
def test_the_applications_own_names_win_over_every_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: Any, is_environment: bool
) -> None:
    """Flask's, an extension's, or one that Carboy does not know; without one of its own, the layer counts."""
    toml = "" if is_environment else f'[default]\n{name.lower()} = "7"\n'
    if is_environment:
        monkeypatch.setenv(f"FLASK_{name}", "7")

    assert _adopt(tmp_path, toml=toml, **{name: given}).config[name] == given
    assert str(_adopt(tmp_path, toml=toml).config[name]) == "7"


def test_the_applications_folder_holds_the_embedded_defaults(tmp_path: Path) -> None:
    """`INSTANCE_PATH` in its `config`; and Flask's `instance_path` is left alone."""
    before = Flask("theirs", root_path=str(tmp_path)).instance_path

    app = _adopt(tmp_path, INSTANCE_PATH="its-own")

    assert runtime(app).settings["INSTANCE_PATH"] == tmp_path / "its-own"
    assert runtime(app).settings["DATABASE_URL"] == f"sqlite:///{tmp_path}/its-own/carboy.db"
    assert app.instance_path == before


def test_a_refused_value_is_said_to_come_from_the_applications_config(tmp_path: Path) -> None:
    """It is not `create_app` that was given it."""
    with pytest.raises(ConfigurationError, match=r"`AUTH`: from app\.config: it is neither on nor off"):
        _adopt(tmp_path, AUTH="ldap")


def test_an_empty_file_of_settings_is_no_fault(tmp_path: Path) -> None:
    """Of the defaults there are all."""
    assert _adopt(tmp_path).config["MAX_BODY_BYTES"] == 1_048_576


def test_every_misspelt_setting_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    """All at once."""
    meant = ("secret_key", "log_level", "log_format", "rate_limit", "trusted_proxies", "max_body_bytes", "api_version",
             "database_url", "jobs_engine", "instance_path")  # fmt: skip
    toml = "[default]\n" + "".join(f'{name[:3]}{name[4:]} = "x"\n' for name in meant)

    warnings = runtime(_adopt(tmp_path, toml=toml)).settings.warnings

    assert sorted(warnings) == sorted(
        f"`{(name[:3] + name[4:]).upper()}` is not a setting; did you mean `{name.upper()}`?" for name in meant
    )


FOREIGN = {
    "TRACE": "1",
    "AUTH": "ldap",
    "CONSOLE": "/dev/console",
    "LOG_LEVEL": "verbose",
    "LOG_FORMAT": "%(message)s",
    "PORT": "tcp://10.0.0.1:80",
    "DEBUG": "*",
    "AWS_XRAY_DAEMON_ADDRESS": "xray",
    "DB_PORT": "tcp://10.0.0.1:5432",
    "DB_PORT_5432_TCP": "tcp://10.0.0.1:5432",
}


@pytest.mark.parametrize("parts", [None, ["settings", "request_ids", "health"], ["settings", "limits", "db", "jobs"]])
@pytest.mark.parametrize("prefix", ["", "FLASK_"])
def test_a_variable_that_means_something_else_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str] | None, prefix: str, lines: Lines
) -> None:
    """Carboy's default counts for each, and there is one warning without its value."""
    for name, value in FOREIGN.items():
        monkeypatch.setenv(f"{prefix}{name}", value)

    app = _adopt(tmp_path, parts)

    warned = [line["warning"] for line in lines("setting_ignored")]
    own = {"PORT", "DB_PORT_5432_TCP", *(["DEBUG"] if prefix else [])}  # Flask itself reads FLASK_DEBUG
    assert sorted(warning.split("`")[1].removeprefix("FLASK_") for warning in warned) == sorted(FOREIGN.keys() - own)
    assert not any(value in warning for warning in warned for value in ("ldap", "/dev/console", "verbose", "tcp:"))
    web = runtime(app).web
    assert (web.auth, web.debug, web.trace, web.log_level) == (True, bool(prefix), "off", "INFO")


@pytest.mark.parametrize(
    ("parts", "name", "value"),
    [
        (["settings", "trace"], "TRACE", "1"),
        (["settings", "keys"], "AUTH", "ldap"),
        (["settings", "logs"], "LOG_LEVEL", "verbose"),
        (["settings", "metrics"], "METRICS_BIND", "here"),
        (["settings", "db"], "DB_HOST", "db:5432"),
        (None, "RATE_LIMIT", "fast"),
        (None, "MAX_BODY_BYTES", "lots"),
        (None, "DATABASE_URL", "mongodb://db/shop"),
        (None, "TRUSTED_PROXIES", "nginx"),
        (None, "PARAMETER_STORE", "/shop"),
        (["settings", "metrics"], "METRICS_BIND", "tcp://10.0.0.1:9090"),
        (["settings", "db"], "DB_HOST", "tcp://10.0.0.1:5432"),
        (["settings", "db"], "DB_PORT", "five"),
    ],
)
@pytest.mark.parametrize("is_dotenv", [True, False])
def test_a_wrong_value_of_a_setting_in_use_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str] | None, name: str, value: str, is_dotenv: bool
) -> None:
    """A part that is named is used; of the default ones, those that do something by themselves."""
    if is_dotenv:
        (tmp_path / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=name):
        _adopt(tmp_path, parts)


@pytest.mark.parametrize("toml", ['trace = "1"', 'auth = "ldap"', 'log_level = "verbose"'])
def test_a_wrong_value_in_carboys_own_file_stops_the_start(tmp_path: Path, toml: str) -> None:
    """It is written for Carboy, whether its part is used or not."""
    with pytest.raises(ConfigurationError):
        _adopt(tmp_path, toml=f"[default]\n{toml}\n")


@pytest.mark.parametrize(("name", "value"), [("AUTH", "off"), ("DEBUG", "1")])
def test_what_is_careless_on_a_guarded_profile_is_refused_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """It can be read, so it is no other's."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASK_PROFILE", "prod")

    with pytest.raises(ConfigurationError, match=name):
        _adopt(tmp_path, SECRET_KEY="long enough")


def test_a_foreign_variable_hides_no_value_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next layer counts, not the default."""
    monkeypatch.setenv("TRACE_SAMPLE", "all")

    app = _adopt(tmp_path, toml="[default]\ntrace_sample = 0.5\n")

    assert runtime(app).web.trace_sample == 0.5
