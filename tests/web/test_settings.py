"""What `create_app` reads, refuses and fills."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from carboy.config import Rate, load, read_sources, setting
from carboy.errors import ConfigurationError
from carboy.web import WebSettings, create_app, runtime
from carboy.web.settings import parse_bind


@dataclass(frozen=True, slots=True)
class OrdersSettings:
    """Of a module."""

    orders_limit: int = setting(5, "how many orders")


def test_a_guarded_profile_refuses_what_is_careless_all_at_once(make_app: Any) -> None:
    """`AUTH=off`, `DEBUG=on` and a missing `SECRET_KEY` never reach production, and are reported together."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(profile="prod", auth="off", debug="on")

    assert {fault.pointer for fault in caught.value.faults} == {"SECRET_KEY", "AUTH", "DEBUG"}
    assert caught.value.exit_code == 3


def test_a_guarded_profile_starts_with_a_secret_key(make_app: Any) -> None:
    """The key given is Flask's."""
    app = make_app(profile="prod", secret_key="a-long-random-text")

    assert app.config["SECRET_KEY"] == "a-long-random-text"
    assert app.config["PROFILE"] == "prod"


@pytest.mark.parametrize("profile", ["local", "test"])
def test_local_profiles_get_a_random_secret_key(make_app: Any, profile: str) -> None:
    """Each start has its own, long enough to sign with."""
    first, second = (make_app(profile=profile).config["SECRET_KEY"] for _ in range(2))

    assert len(first) >= 32
    assert first != second


def test_an_empty_secret_key_is_missing(make_app: Any) -> None:
    """A variable that is set to nothing signs nothing."""
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        make_app(profile="prod", secret_key="")


def test_the_defaults_are_those_of_the_contract(make_app: Any) -> None:
    """Names and values that users rely on."""
    web = runtime(make_app()).settings.part(WebSettings)

    assert web.max_body_bytes == 1_048_576
    assert web.trusted_proxies == 0
    assert web.rate_limit == Rate(6000, 60.0)
    assert (web.log_level, web.log_file, web.log_file_max_bytes, web.log_file_max_count) == ("INFO", None, 5_000_000, 5)
    assert web.auth is True


def test_the_rate_limit_can_be_lifted(make_app: Any) -> None:
    """`off` is no rate."""
    assert runtime(make_app(rate_limit="off")).limiter is None


def test_settings_are_in_app_config(make_app: Any) -> None:
    """By their flat names, as values."""
    app = make_app(max_body_bytes="17", brings={"settings": OrdersSettings}, orders_limit="9")

    assert app.config["MAX_BODY_BYTES"] == app.config["MAX_CONTENT_LENGTH"] == 17
    assert app.config["ORDERS_LIMIT"] == 9
    assert runtime(app).settings.part(OrdersSettings) == OrdersSettings(orders_limit=9)


def test_faults_of_modules_and_carboy_are_reported_together(make_app: Any) -> None:
    """One start shows all there is to correct."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(max_body_bytes="many", brings={"settings": [OrdersSettings]}, orders_limit="few")

    assert {fault.pointer for fault in caught.value.faults} == {"MAX_BODY_BYTES", "ORDERS_LIMIT"}


def test_a_refused_configuration_is_logged_too(make_app: Any, lines: Any) -> None:
    """Who reads only the logs sees why the service does not start; values are not shown."""
    with pytest.raises(ConfigurationError):
        make_app(trusted_proxies="two-hundred")

    [line] = lines("configuration_refused")
    assert [fault["setting"] for fault in line["faults"]] == ["TRUSTED_PROXIES"]
    assert "two-hundred" not in str(line)


@pytest.mark.parametrize("name", ["nowhere.to.be.found", "carboy.nothing", "", "  ", ".", "..x"])
def test_a_module_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """The setting, the name and what to do."""
    with pytest.raises(ConfigurationError, match="MODULES"):
        create_app("test", folder=tmp_path, modules=[name])


def test_a_module_needs_register(tmp_path: Path) -> None:
    """Any other module cannot be meant."""
    with pytest.raises(ConfigurationError, match=r"register\(app\)"):
        create_app("test", folder=tmp_path, modules="json")


def test_what_a_module_fails_to_import_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is there and lacks a library is no wrong name."""
    (tmp_path / "module_without_its_library.py").write_text("import a_library_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="a_library_nobody_has"):
        create_app("test", folder=tmp_path, modules="module_without_its_library")
    sys.modules.pop("module_without_its_library", None)


@pytest.mark.parametrize("kind", ["TypeError", "ValueError", "AttributeError"])
def test_what_a_module_raises_is_reported_as_it_is(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own traceback, which ends in the module's line."""
    name = f"module_that_raises_a_{kind.lower()}"
    (tmp_path / f"{name}.py").write_text(f"\nraise {kind}('of its own')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(Exception, match="of its own") as caught:
        create_app("test", folder=tmp_path, modules=name)
    assert caught.typename == kind
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno) == (tmp_path / f"{name}.py", 1)


def test_a_module_named_twice_is_registered_once(make_module: Callable[..., str], tmp_path: Path) -> None:
    """Else its routes would collide."""
    seen: list[Flask] = []
    name = make_module(seen.append)

    create_app("test", folder=tmp_path, modules=f"{name},{name}")

    assert len(seen) == 1


def test_a_misspelt_setting_is_warned_about(tmp_path: Path, make_app: Any, lines: Any) -> None:
    """With the nearest name."""
    (tmp_path / ".env").write_text("FLASK_TRUSTED_PROXYS=1\n")

    make_app()

    assert [line["warning"] for line in lines("setting_unknown")] == [
        "`FLASK_TRUSTED_PROXYS` is not a setting; did you mean `TRUSTED_PROXIES`?"
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9090", ("127.0.0.1", 9090)),
        (":9090", ("", 9090)),
        ("[::1]:9090", ("::1", 9090)),
        ("localhost:0", ("localhost", 0)),
        ("9090", None),
        ("::1:9090", None),
        ("host:port", None),
        ("host:70000", None),
        ("host:²", None),
    ],
)
def test_an_address_to_bind_is_host_and_port(text: str, address: tuple[str, int] | None) -> None:
    """Anything else is refused at the start."""
    assert parse_bind(text) == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_body_bytes", "0"),
        ("trusted_proxies", "-1"),
        ("ready_timeout_s", "0"),
        ("metrics_bind", "everywhere"),
        ("rate_limit_clients", "0"),
        ("rate_limit", "0/60s"),
        ("log_level", "LOUD"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(make_app: Any, name: str, value: str) -> None:
    """At the start, by name."""
    with pytest.raises(ConfigurationError, match=name.upper()):
        make_app(**{name: value})


@pytest.mark.parametrize(("given", "level"), [("warn", "WARNING"), ("WARN", "WARNING"), ("fatal", "CRITICAL")])
def test_the_other_names_of_levels_are_taken(given: str, level: str) -> None:
    """As `logging` has them."""
    assert load([WebSettings], read_sources(environ={"LOG_LEVEL": given})).part(WebSettings).log_level == level
