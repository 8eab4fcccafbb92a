"""Layers that are outside: Parameter Store and the closed file, between `carboy.toml` and `.env`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from carboy.config import BaseSettings, Settings, Sources, glance, load, read_remote, read_sources, setting
from carboy.errors import ConfigurationError, Refused
from carboy.redact import Secret


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """A part of which some is outside."""

    db_host: str = setting("localhost", "where it is")
    shop_tags: tuple[str, ...] = setting((), "what it is known for")
    shop_password: Secret | None = setting(None, "opens the safe")
    shop_menu: dict[str, dict[str, Any]] = setting({}, "what there is")


@dataclass
class Store:
    """Parameters in memory."""

    found: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: Refused | None = None

    def below(self, prefix: str) -> Mapping[str, str]:
        self.asked.append(prefix)
        if self.error:
            raise self.error
        return {name: value for name, value in self.found.items() if name.startswith(prefix)}


def _read(folder: Path, environ: dict[str, str], store: Store, closed: Mapping[str, Any] | None = None) -> Sources:
    near = read_sources(folder=folder, environ={"FLASK_PROFILE": "dev", **environ})

    def read_closed(path: Path, stage: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
        assert (path, stage, keys) == (folder / "config.yml", "dev", ("arn:key",))
        return closed or {}

    return read_remote(near, glance(BaseSettings, near), lambda: store, read_closed)


def _load(folder: Path, environ: dict[str, str], store: Store) -> Settings:
    return load([ShopSettings], _read(folder, environ, store))


def test_parameters_are_a_layer_below_env_and_above_toml(tmp_path: Path) -> None:
    """By path, below `/{profile}_{app}/`; the layer says so."""
    (tmp_path / "carboy.toml").write_text('[default]\ndb_host = "from-toml"\n', "utf-8")
    store = Store({"/dev_flask/db/host": "db.local", "/dev_flask/shop/password": "1e5", "/other/x": "1"})

    found = _load(tmp_path, {"PARAMETER_STORE": "on"}, store)

    entry = found.entry("DB_HOST")
    assert entry is not None
    assert (entry.value, entry.layer) == ("db.local", "Parameter Store /dev_flask/")
    assert entry.hides == ("carboy.toml [default]",)
    assert found.flat()["SHOP_PASSWORD"] == "1e5"
    assert store.asked == ["/dev_flask/"]
    assert _load(tmp_path, {"PARAMETER_STORE": "on", "DB_HOST": "near"}, store)["DB_HOST"] == "near"


def test_without_being_asked_for_no_layer_outside_is_read(tmp_path: Path) -> None:
    """Neither on `local` nor on a guarded profile."""
    store = Store()
    assert _load(tmp_path, {}, store)["DB_HOST"] == "localhost"
    assert store.asked == []


@pytest.mark.parametrize(
    ("environ", "prefix"),
    [
        ({"PARAMETER_STORE": "on", "APP": "shop"}, "/dev_shop/"),
        ({"PARAMETER_PREFIX": "/x/y"}, "/x/y"),
        ({"PARAMETER_PREFIX": "optional:/x/y"}, "/x/y"),
    ],
)
def test_the_prefix_is_the_profiles_and_the_apps_or_the_one_given(
    tmp_path: Path, environ: dict[str, str], prefix: str
) -> None:
    """One that is given turns the layer on."""
    store = Store({f"{prefix.rstrip('/')}/db/host": "there"})
    assert _load(tmp_path, environ, store)["DB_HOST"] == "there"
    assert store.asked == [prefix]


def test_a_prefix_below_which_nothing_is_is_a_fault_unless_it_is_optional(tmp_path: Path) -> None:
    """It is misspelt, or the role sees another account."""
    assert _load(tmp_path, {"PARAMETER_PREFIX": "optional:/x/"}, Store())["DB_HOST"] == "localhost"
    with pytest.raises(ConfigurationError, match="no parameter below `/x/`") as caught:
        _load(tmp_path, {"PARAMETER_PREFIX": "/x/", "SHOP_MENU": "no table"}, Store())
    assert {fault.pointer for fault in caught.value.faults} == {"PARAMETER_PREFIX", "SHOP_MENU"}
    assert caught.value.exit_code == 3


def test_a_store_that_refuses_is_reported_with_all_other_faults(tmp_path: Path) -> None:
    """What to allow, too."""
    store = Store(error=Refused("AWS did not do ssm:GetParametersByPath", "no", "allow it to `task`"))
    with pytest.raises(ConfigurationError, match="allow it to `task`") as caught:
        _load(tmp_path, {"PARAMETER_STORE": "on", "SHOP_MENU": "no table"}, store)
    assert len(caught.value.faults) == 2


def test_a_parameter_that_is_also_a_branch_counts_and_so_does_what_is_below(tmp_path: Path) -> None:
    """`/a` beside `/a/b`."""
    store = Store({"/dev_flask/a": "1", "/dev_flask/a/b": "2", "/dev_flask/a-c": "3"})
    found = _load(tmp_path, {"PARAMETER_STORE": "on"}, store)
    assert (found["A"], found["A_B"], found["A_C"]) == (1, 2, 3)


def test_a_table_is_one_parameter_or_many(tmp_path: Path) -> None:
    """As JSON, key by key, or both."""
    store = Store({
        "/dev_flask/shop/menu": '{"tea": {"price": 1, "hot": true}}',
        "/dev_flask/shop/menu/tea/price": "2",
        "/dev_flask/shop/menu/Cake/name": "lemon",
        "/dev_flask/shop/tags": "a,b",
    })  # fmt: skip
    found = _load(tmp_path, {"PARAMETER_STORE": "on"}, store)
    assert found["SHOP_MENU"] == {"tea": {"price": 2, "hot": True}, "Cake": {"name": "lemon"}}
    assert found["SHOP_TAGS"] == ("a", "b")


def test_the_closed_file_is_a_layer_below_parameters(tmp_path: Path) -> None:
    """Rendered for the stage of the profile, with the keys that are allowed."""
    (tmp_path / "carboy.toml").write_text('[default]\ndb_host = "from-toml"\nshop_tags = ["t"]\n', "utf-8")
    environ = {"CONFIG_FILE": "config.yml", "CONFIG_KMS_KEYS": "arn:key", "PARAMETER_STORE": "on"}
    store = Store({"/dev_flask/shop/tags": "p"})
    closed = {"db": {"host": "from-closed"}, "shop_tags": ["c"]}

    found = load([ShopSettings], _read(tmp_path, environ, store, closed))

    entry = found.entry("DB_HOST")
    assert entry is not None
    assert (entry.value, entry.layer, entry.hides) == ("from-closed", "closed file", ("carboy.toml [default]",))
    assert found["SHOP_TAGS"] == ("p",)
    assert found.entry("SHOP_TAGS").hides == ("closed file", "carboy.toml [default]")  # type: ignore[union-attr]
