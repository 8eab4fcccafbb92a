"""Settings come in layers, each value knows its source, and all errors are reported at once."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from carboy.config import REQUIRED, Derived, Duration, Profile, Rate, Settings, load, read_sources, setting, settings_of
from carboy.config.load import Sources
from carboy.db import DbSettings
from carboy.errors import ConfigurationError, Fault
from carboy.redact import Secret
from carboy.services.archive.settings import ArchiveSettings
from carboy.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """A part with a setting of each kind."""

    shop_name: str = setting("corner", "what stands over the door")
    shop_seats: int = setting(4, "how many sit")
    shop_open: bool = setting(True, "whether it is open")
    shop_tags: tuple[str, ...] = setting((), "what it is known for")
    shop_password: Secret | None = setting(None, "opens the safe")
    shop_rate: Rate | None = setting(Rate(6, 60.0), "how many come in")
    shop_keeps: Duration = setting(Duration("7d"), "how long bread is kept")
    shop_menu: dict[str, dict[str, Any]] = setting({}, "what there is")
    shop_folder: Path = setting(Path("shop"), "where it is")
    shop_sign: str = setting(Derived(lambda get: f"<{get('SHOP_NAME')}>", "<name>"), "how the door reads")
    shop_db_host: str = setting("localhost", "two words below the part's name")

    def faults(self, profile: Profile) -> Iterator[Fault]:
        """Yield a fault on guarded profiles without a password."""
        if profile.is_guarded and not self.shop_password:
            yield Fault("SHOP_PASSWORD", "it must be given here")


def _load(folder: Path, environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    return load([ShopSettings], read_sources(folder=folder, environ=environ or {}, overrides=overrides))


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


def test_the_later_layer_wins_and_the_hidden_ones_are_known(tmp_path: Path) -> None:
    """Who looks for a value finds which file or variable gave it, and which others tried."""
    _write(
        tmp_path,
        "carboy.toml",
        '[default.shop]\nname = "a"\nseats = 1\ntags = ["x"]\n[profile.dev.shop]\nname = "b"\nseats = 2\n',
    )
    _write(tmp_path, ".env", "SHOP_NAME=c\nSHOP_SEATS=3\n")

    found = _load(tmp_path, {"FLASK_PROFILE": "dev", "SHOP_PASSWORD": "p", "SHOP_NAME": "d"}, shop_name="e")

    entry = found.entry("SHOP_NAME")
    assert entry is not None
    assert (entry.value, entry.layer) == ("e", "create_app")
    assert entry.hides == ("environment", ".env", "carboy.toml [profile.dev]", "carboy.toml [default]")
    assert found["SHOP_SEATS"] == 3
    assert found["SHOP_TAGS"] == ("x",)
    assert found["SHOP_SIGN"] == "<e>"
    assert found.part(ShopSettings).shop_db_host == "localhost"


def test_flasks_prefix_is_understood_and_wins(tmp_path: Path) -> None:
    """`FLASK_SHOP_NAME` is `SHOP_NAME`, and `FLASK_APP` never the setting `APP`."""
    found = _load(tmp_path, {"SHOP_NAME": "a", "FLASK_SHOP_NAME": "b", "FLASK_APP": "wsgi:app", "FLASK_OTHER": "[1]"})

    assert found["SHOP_NAME"] == "b"
    assert found["APP"] == "flask"
    assert found["OTHER"] == [1]


@pytest.mark.parametrize("text", ["1e5", "null", "007", "1234567890123456789012", "true", " x ", "a=b#c"])
def test_a_secret_is_taken_as_raw_text(tmp_path: Path, text: str) -> None:
    """A password that looks like a number stays what it is."""
    found = _load(tmp_path, {"FLASK_SHOP_PASSWORD": text})

    secret = found.part(ShopSettings).shop_password
    assert secret is not None
    assert secret.reveal() == text
    assert found.flat()["SHOP_PASSWORD"] == text


def test_every_fault_is_reported_at_once_with_its_layer_and_without_the_value(tmp_path: Path) -> None:
    """One start is enough to learn all that is wrong."""
    _write(tmp_path, "carboy.toml", '[default]\nshop_seats = "many-secret"\n[defualt]\nx = 1\n')
    environ = {"SHOP_OPEN": "perhaps-secret", "SHOP_RATE": "often-secret", "SHOP_PASSWORD": "file:/nowhere/at/all"}

    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, environ)

    told = {fault.pointer: fault.detail for fault in caught.value.faults}
    assert set(told) == {"carboy.toml `defualt`", "SHOP_SEATS", "SHOP_OPEN", "SHOP_RATE", "SHOP_PASSWORD"}
    assert "did you mean `default`" in told["carboy.toml `defualt`"]
    assert told["SHOP_SEATS"].startswith("from carboy.toml [default]")
    assert "a whole number" in told["SHOP_SEATS"]
    assert told["SHOP_OPEN"].startswith("from environment")
    assert "secret" not in str(caught.value).replace("a secret", "")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT", "TRACE"])
def test_a_wrong_choice_lists_the_choices(tmp_path: Path, name: str) -> None:
    """The error itself lists them."""
    choices = {item.name: item.choices for item in settings_of(WebSettings)}[name]

    with pytest.raises(ConfigurationError) as caught:
        load([WebSettings], read_sources(folder=tmp_path, environ={name: "loud"}))

    (fault,) = caught.value.faults
    assert fault.detail.endswith(f"it is not one of the choices; expected one of {', '.join(choices)}")


def test_rules_between_values_are_asked_of_the_part(tmp_path: Path) -> None:
    """A guarded profile refuses what `local` allows."""
    assert _load(tmp_path).part(ShopSettings).shop_password is None
    with pytest.raises(ConfigurationError, match="SHOP_PASSWORD"):
        _load(tmp_path, {"FLASK_ENV": "production"})


def test_a_required_setting_is_asked_for(tmp_path: Path) -> None:
    """What has no default must be given."""

    @dataclass(frozen=True, slots=True)
    class NeedySettings:
        needy_host: str = setting(REQUIRED, "where it is")

    with pytest.raises(ConfigurationError, match="NEEDY_HOST"):
        load([NeedySettings], read_sources(folder=tmp_path, environ={}))


def test_tables_stay_tables_and_are_merged_key_by_key(tmp_path: Path) -> None:
    """A profile adds to a table of the defaults, and changes single entries of it."""
    _write(
        tmp_path,
        "carboy.toml",
        "[default.shop.menu.tea]\nprice = 2\nsize = 1\n[profile.dev.shop.menu.tea]\nprice = 3\n"
        "[profile.dev.shop.menu.cake]\nprice = 4\n",
    )

    found = _load(tmp_path, {"FLASK_PROFILE": "dev", "SHOP_PASSWORD": "p"})

    assert found["SHOP_MENU"] == {"tea": {"price": 3, "size": 1}, "cake": {"price": 4}}


def test_references_are_resolved_at_any_depth(tmp_path: Path) -> None:
    """A value may point to a file, also in a table."""
    _write(tmp_path, "two", "first\n")
    menu = {"tea": {"recipe": f"file:{tmp_path}/two", "url": "file:///not/a/reference"}}

    found = _load(tmp_path, {"SHOP_PASSWORD": f"file:{tmp_path}/two"}, shop_menu=menu)

    assert found["SHOP_PASSWORD"] == "first"
    assert found["SHOP_MENU"]["tea"] == {"recipe": "first", "url": "file:///not/a/reference"}
    entry = found.entry("SHOP_PASSWORD")
    assert entry is not None
    assert f"via file:{tmp_path}/two" in entry.layer


def test_an_optional_reference_may_lead_nowhere(tmp_path: Path) -> None:
    """Its absence leaves the default; a file that is there and cannot be read is still a fault."""
    assert _load(tmp_path, {"SHOP_NAME": "optional:file:/nowhere/at/all"})["SHOP_NAME"] == "corner"


def test_what_a_reference_leads_to_is_a_value(tmp_path: Path) -> None:
    """A person who may write one secret cannot have another file read into a setting."""
    _write(tmp_path, "one", f"file:{tmp_path}/two")
    _write(tmp_path, "two", "hush")

    found = _load(tmp_path, {"SHOP_NAME": f"file:{tmp_path}/one", "SHOP_PASSWORD": "p"})

    assert found["SHOP_NAME"] == f"file:{tmp_path}/two"


@pytest.mark.parametrize("name", ["FLASK_PROFLE", "FLASK_PROFIL", "FLASK_PORFILE"])
def test_a_misspelt_profile_is_warned_about(tmp_path: Path, name: str) -> None:
    """Else the service starts on `local`, and looks right."""
    warnings = load([], read_sources(folder=tmp_path, environ={name: "prod"})).warnings

    assert f"`{name}` is not a setting; did you mean `FLASK_PROFILE`?" in " ".join(warnings)


def test_a_misspelt_name_is_warned_about(tmp_path: Path) -> None:
    """A typing error such as `FLASK_SHOP_NMAE` is found at once."""
    found = _load(tmp_path, {"FLASK_SHOP_NMAE": "x"})

    assert found.warnings == ("`FLASK_SHOP_NMAE` is not a setting; did you mean `SHOP_NAME`?",)


@pytest.mark.parametrize("name", ["prod/../dev", "", "x" * 33, "Prod", "a b", "prod\n"])
def test_a_profile_that_could_leave_its_path_is_refused(tmp_path: Path, name: str) -> None:
    """The profile goes into a parameter path, so it is checked first; an empty one is not a profile."""
    if not name:
        assert read_sources(folder=tmp_path, environ={"FLASK_PROFILE": name}).profile.name == "local"
        return
    with pytest.raises(ConfigurationError, match="profile"):
        read_sources(folder=tmp_path, environ={"FLASK_PROFILE": name})


@pytest.mark.parametrize(("given", "name"), [("development", "dev"), ("production", "prod"), ("testing", "test")])
def test_flasks_old_names_of_profiles_are_understood(tmp_path: Path, given: str, name: str) -> None:
    """`FLASK_ENV=production` is the profile `prod`; `FLASK_PROFILE` counts more."""
    assert read_sources(folder=tmp_path, environ={"FLASK_ENV": given}).profile.name == name
    both = {"FLASK_ENV": given, "FLASK_PROFILE": "staging"}
    assert read_sources(folder=tmp_path, environ=both).profile.name == "staging"


def test_the_profile_is_a_key_of_the_configuration(tmp_path: Path) -> None:
    """`from_prefixed_env()` drops `FLASK_`, so the key is `PROFILE`."""
    assert _load(tmp_path).flat()["PROFILE"] == "local"


def test_relative_paths_start_at_the_projects_folder(tmp_path: Path) -> None:
    """Wherever the process was started."""
    assert _load(tmp_path)["SHOP_FOLDER"] == tmp_path / "shop"
    assert _load(tmp_path, {"SHOP_FOLDER": "/elsewhere"})["SHOP_FOLDER"] == Path("/elsewhere")


def test_what_is_shown_never_holds_a_secret(tmp_path: Path) -> None:
    """Secrets are masked in values, in tables, and where only the name sounds so."""
    found = _load(tmp_path, {"SHOP_PASSWORD": "hush-hush", "FLASK_MY_TOKEN": "hush-hush"})

    shown = {entry.name: entry.shown for entry in found}
    assert shown["SHOP_PASSWORD"] == "***"
    empty = {entry.name: entry.shown for entry in _load(tmp_path, {"FLASK_MY_TOKEN": ""})}
    assert (empty["SHOP_PASSWORD"], empty["MY_TOKEN"]) == (None, "")
    assert shown["MY_TOKEN"] == "***"
    assert shown["SHOP_RATE"] == "6/60s"
    assert shown["SHOP_OPEN"] == "on"
    assert "hush" not in str(shown)
    assert "hush" not in repr(found.part(ShopSettings))


def test_a_part_that_is_printed_shows_no_secret() -> None:
    """A notebook, a debugger or a traceback's locals print a dataclass as it is; a URL holds its password as text."""

    @dataclass(frozen=True)
    class Part:
        part_url: str = setting("", "where it is", secret=True)
        part_size: int = setting(1, "how large it is")

    assert repr(Part(part_url="mysql://app:a-password@db/orders")).endswith("Part(part_size=1)")


def test_two_parts_cannot_claim_one_name(tmp_path: Path) -> None:
    """A name means one thing."""

    @dataclass(frozen=True, slots=True)
    class OtherSettings:
        shop_name: int = setting(1, "something else")

    with pytest.raises(ConfigurationError, match="declared twice"):
        load([ShopSettings, OtherSettings], read_sources(folder=tmp_path, environ={}))


def test_carboy_toml_may_be_elsewhere(tmp_path: Path) -> None:
    """`CARBOY_TOML` names it; a named file that is not there is an error."""
    _write(tmp_path, "other.toml", '[default]\nshop_name = "x"\n')

    assert _load(tmp_path, {"CARBOY_TOML": "other.toml"})["SHOP_NAME"] == "x"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        _load(tmp_path, {"CARBOY_TOML": "gone.toml"})


def test_a_file_that_is_no_toml_names_its_line(tmp_path: Path) -> None:
    """The parser's own words say where."""
    _write(tmp_path, "carboy.toml", "[default]\nx = = 1\n")

    with pytest.raises(ConfigurationError, match="line 2"):
        _load(tmp_path)


def test_a_reference_to_a_file_starts_at_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever folder the program was started; an absolute path stays what it is."""
    _write(tmp_path, "name", "from the file\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert _load(tmp_path, shop_name="file:name")["SHOP_NAME"] == "from the file"
    assert _load(tmp_path, shop_name=f"file:{tmp_path}/name")["SHOP_NAME"] == "from the file"
    with pytest.raises(ConfigurationError, match="is not there"):
        _load(tmp_path / "elsewhere", shop_name="file:name")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("sqlite:///shop.db", "sqlite:///{folder}/shop.db"),
        ("sqlite+pysqlite:///data/shop.db?timeout=3", "sqlite+pysqlite:///{folder}/data/shop.db?timeout=3"),
        ("sqlite:////srv/shop.db", "sqlite:////srv/shop.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:shop?mode=memory&uri=true", "sqlite:///file:shop?mode=memory&uri=true"),
        ("mysql://shop.example/shop", "mysql://shop.example/shop"),
    ],
)
def test_a_database_file_is_in_the_projects_folder(given: str, found: str, tmp_path: Path) -> None:
    """Not in the working directory of the process."""
    settings = load([DbSettings], read_sources(folder=tmp_path, environ={"DATABASE_URL": given}))
    assert settings["DATABASE_URL"] == found.format(folder=tmp_path)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("file://archive", "file://{folder}/archive"),
        ("file:///srv/archive", "file:///srv/archive"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("memory://", "memory://"),
    ],
)
def test_an_archives_folder_is_in_the_projects(given: str, found: str, tmp_path: Path) -> None:
    """Likewise."""
    settings = load([ArchiveSettings], read_sources(folder=tmp_path, environ={"ARCHIVE_URL": given}))
    assert settings["ARCHIVE_URL"] == found.format(folder=tmp_path)


def test_a_value_has_one_type_in_every_layer(tmp_path: Path) -> None:
    """An undeclared `false` is False from a parameter too; a declared secret stays text."""
    sources = Sources(
        profile=Profile("local"),
        folder=tmp_path,
        environ={"FLASK_A": "false"},
        toml={"default": {"b": False}},
        parameters=("/local_flask/", {"/local_flask/c": "false", "/local_flask/shop/password": "1e5"}),
    )

    found = load([ShopSettings], sources)

    assert (found["A"], found["B"], found["C"]) == (False, False, False)
    assert found["SHOP_PASSWORD"] == "1e5"


def test_flasks_nested_names_are_tables(tmp_path: Path) -> None:
    """As `from_prefixed_env` makes them."""
    environ = {"FLASK_MAIL__host": "a", "FLASK_MAIL__ports__smtp": "25", "FLASK_PLAIN": "x", "SHOP_PASSWORD": "p"}

    found = _load(tmp_path, environ)

    assert found["MAIL"] == {"host": "a", "ports": {"smtp": 25}}
    assert found["PLAIN"] == "x"


def test_a_dotenv_may_be_a_pipe(tmp_path: Path) -> None:
    """As some tools hand secrets over."""
    os.mkfifo(tmp_path / ".env")
    writer = threading.Thread(target=(tmp_path / ".env").write_text, args=("SHOP_PASSWORD=from-a-pipe\n",))
    writer.start()
    try:
        assert read_sources(folder=tmp_path, environ={}).dotenv == {"SHOP_PASSWORD": "from-a-pipe"}
    finally:
        writer.join()


def test_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As editors on Windows write them."""
    _write(tmp_path, "carboy.toml", "\ufeff[default]\nshop_name = 'toml'\n")
    _write(tmp_path, ".env", "\ufeffSHOP_PASSWORD=p\n")

    assert _load(tmp_path, {})["SHOP_NAME"] == "toml"


@dataclass(frozen=True, slots=True)
class Limited:
    """Numbers that have limits."""

    part: float = setting(0.5, "a part", least=0, most=1)
    threads: int = setting(4, "threads", least=1)
    wait_s: float = setting(1.0, "a wait", unit="s")
    lease: Duration = setting(Duration("1m"), "a lease", least=0.1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PART", "1.01", "it must be from 0 to 1"),
        ("PART", "-1e-9", "it must be from 0 to 1"),
        ("THREADS", "0", "it must be at least 1"),
        ("WAIT_S", "-0.5", "it must be at least 0"),
        ("LEASE", "50ms", "it must be at least 0.1"),
    ],
)
def test_a_number_beyond_its_limits_is_a_fault(tmp_path: Path, name: str, value: str, said: str) -> None:
    """Declared once, where the setting is; a number with a unit is never negative."""
    with pytest.raises(ConfigurationError) as caught:
        load([Limited], read_sources(folder=tmp_path, environ={name: value}))
    assert [(fault.pointer, said in fault.detail) for fault in caught.value.faults] == [(name, True)]


def test_a_number_at_its_limit_is_taken(tmp_path: Path) -> None:
    """The limits themselves are allowed."""
    environ = {"PART": "1", "THREADS": "1", "WAIT_S": "0", "LEASE": "100ms"}
    found = load([Limited], read_sources(folder=tmp_path, environ=environ)).part(Limited)
    assert (found.part, found.threads, found.wait_s, float(found.lease)) == (1.0, 1, 0.0, 0.1)


def test_a_profile_that_is_near_one_of_the_file_is_named(tmp_path: Path) -> None:
    """`FLASK_PROFILE=prood`: all its settings would be missing, and nothing would say why."""
    toml = {"default": {}, "profile": {"prod": {"secret_key": "x"}}}
    sources = Sources(Profile("prood"), tmp_path, toml, environ={"SECRET_KEY": "y"})

    assert load([WebSettings], sources).warnings == (
        "FLASK_PROFILE: carboy.toml has no [profile.prood]; did you mean `prod`?",
    )
    with pytest.raises(ConfigurationError) as caught:
        load([WebSettings], replace(sources, environ={}))
    assert [fault.pointer for fault in caught.value.faults] == ["FLASK_PROFILE", "SECRET_KEY"]


@pytest.mark.parametrize("profile", ["prod", "local", "test", "staging", "review-17"])
def test_a_profile_that_needs_no_table_is_no_mistake(tmp_path: Path, profile: str) -> None:
    sources = Sources(Profile(profile), tmp_path, {"profile": {"prod": {}}}, environ={"SECRET_KEY": "y"})

    assert load([WebSettings], sources).warnings == ()


def test_a_secret_may_be_named_by_the_variable_of_its_file(tmp_path: Path) -> None:
    """As container images have it: `SHOP_PASSWORD_FILE`. Only for secrets; the name itself and later layers win."""
    _write(tmp_path, "safe", "from-a-file\n")
    _write(tmp_path, ".env", "SHOP_PASSWORD_FILE=safe\nSHOP_NAME_FILE=safe\n")

    def password(**environ: str) -> tuple[str, str]:
        settings = load([ShopSettings], read_sources(folder=tmp_path, environ=environ))
        entry = settings.entry("SHOP_PASSWORD")
        assert entry is not None
        assert settings["SHOP_NAME"] == "corner"
        return settings["SHOP_PASSWORD"], entry.layer

    assert password() == ("from-a-file", ".env via file:safe")
    assert password(SHOP_PASSWORD="p") == ("p", "environment")
    assert password(SHOP_PASSWORD="p", SHOP_PASSWORD_FILE="safe") == ("p", "environment")
    assert password(SHOP_PASSWORD_FILE="") == ("from-a-file", ".env via file:safe")


@pytest.mark.parametrize("text", ["file:", "aws-secretsmanager:", "aws-parameterstore: ", "optional:file:"])
def test_a_reference_that_names_nothing_is_a_fault(tmp_path: Path, text: str) -> None:
    """As `file:$UNSET` makes one: it must not become the secret itself."""
    with pytest.raises(ConfigurationError, match="nothing stands behind the colon"):
        load([ShopSettings], read_sources(folder=tmp_path, environ={"SHOP_PASSWORD": text}))


def test_what_a_number_should_be_is_said_in_words(tmp_path: Path) -> None:
    """Also of one that may be absent."""
    with pytest.raises(ConfigurationError) as caught:
        load([ShopSettings, DbSettings], read_sources(folder=tmp_path, environ={"SHOP_SEATS": "x", "DB_PORT": "33o6"}))

    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "SHOP_SEATS": "from environment: it is not a valid number; expected a whole number",
        "DB_PORT": "from environment: it is not a valid number; expected a whole number",
    }


@pytest.mark.parametrize("password", ["p w", 'p"w', "p'w", "p<w", "p#w", "p%40w"])
def test_the_password_of_an_address_is_masked_whatever_it_holds(tmp_path: Path, password: str) -> None:
    """Blanks and quotes too, which no URL in a text has."""
    environ = {"DATABASE_URL": f"mysql://app:{password}@host/shop?email=a@b"}
    entry = load([DbSettings], read_sources(folder=tmp_path, environ=environ)).entry("DATABASE_URL")

    assert entry is not None
    assert entry.shown == "mysql://app:***@host/shop?email=a@b"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"profile": {"log_level": "info"}}, "carboy.toml `profile.log_level`"),
        ({"profile": {"prod": {}, "log_level": "info"}}, "carboy.toml `profile.log_level`"),
        ({"profile": {"test": 5}}, "carboy.toml [profile.test]"),
        ({"profile": 5}, "carboy.toml `profile`"),
        ({"profile": [{"log_level": "info"}]}, "carboy.toml `profile`"),
        ({"app": {"log_level": "info"}}, "carboy.toml `app`"),
        ({"app": 5}, "carboy.toml `app`"),
        ({"tool": {"carboy": {}}}, "carboy.toml `tool`"),
        ({"test": {"log_level": "info"}}, "carboy.toml `test`"),
        ({"log_level": "info"}, "carboy.toml `log_level`"),
    ],
)
def test_what_stands_outside_of_the_known_tables_is_a_fault(
    tmp_path: Path, document: dict[str, Any], pointer: str
) -> None:
    """It would have no effect, without a word."""
    with pytest.raises(ConfigurationError) as caught:
        load([WebSettings], Sources(Profile("test"), tmp_path, toml=document))
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5.0), ("2.5", 2.5), ("500ms", 0.5), ("5s", 5.0), ("2m", 120.0), (" 7 ", 7.0)]
)
def test_seconds_may_have_a_unit(tmp_path: Path, text: str, seconds: float) -> None:
    """As lengths of time have."""
    settings = load([DbSettings], read_sources(folder=tmp_path, environ={"DB_CONNECT_TIMEOUT_S": text}))
    assert settings["DB_CONNECT_TIMEOUT_S"] == seconds


@pytest.mark.parametrize("value", ["soon", "5 x", "-5s", "5q", True, [5]])
def test_what_is_no_number_of_seconds_is_refused_in_words(tmp_path: Path, value: Any) -> None:
    """With what is expected."""
    document = {"default": {"db_connect_timeout_s": value}}
    with pytest.raises(ConfigurationError) as caught:
        load([DbSettings], Sources(Profile("test"), tmp_path, toml=document))
    (fault,) = caught.value.faults
    assert fault.detail.endswith("; expected a number of seconds")
    assert "Expected" not in fault.detail
