"""What a key is, who knows it, and for how long."""

import string
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from carboy.errors import InvalidInput, Missing, MissingExtra, Unreachable
from carboy.testing.clock import ManualClock
from carboy.web import SCOPES, create_app, runtime
from carboy.web.auth.api_keys import check_scopes, hash_key, make_key, matches, parse_key_id
from carboy.web.auth.key_cache import KeyRing
from carboy.web.auth.key_store import KeyStore

_, _KEY = make_key()


@pytest.mark.parametrize("number", range(20))
def test_a_key_is_known_by_its_form(number: int) -> None:
    """And its id stands in it: every time."""
    key_id, text = make_key()

    assert parse_key_id(text) == key_id
    assert text.startswith(f"cby_{key_id}_")
    assert matches(text, hash_key(text))


@given(st.data())
def test_a_typing_error_is_found_without_a_look_up(data: st.DataObject) -> None:
    """Any one character that is another."""
    text = _KEY
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(string.printable + "é").filter(lambda one: one != text[at]))

    assert parse_key_id(text[:at] + other + text[at + 1 :]) is None


@pytest.mark.slow
@given(st.text())
def test_junk_is_no_key(text: str) -> None:
    """With any text."""
    assert parse_key_id(text) is None
    assert parse_key_id(f"cby_{text}") is None


def test_keys_are_all_different() -> None:
    """In id and secret."""
    made = [make_key() for _ in range(200)]

    assert len({key_id for key_id, _ in made}) == len({text[-38:] for _, text in made}) == 200


def test_scopes_are_sorted_and_listed_once() -> None:
    """A module may have its own."""
    assert check_scopes(["sms:send", "archive:read", "sms:send"]) == ("archive:read", "sms:send")
    assert check_scopes(SCOPES) == tuple(sorted(SCOPES))
    assert check_scopes(["orders:write"]) == ("orders:write",)


@pytest.mark.parametrize("scopes", [[], ["archive:wirte"], ["sms"], ["jobs:all"], ["A:b"], ["a:b c"], [":"], [""]])
def test_an_invalid_scope_is_refused(scopes: list[str]) -> None:
    """A key without scopes would be useless."""
    with pytest.raises(InvalidInput):
        check_scopes(scopes)


@pytest.fixture
def app(make_app: Any) -> Flask:
    made: Flask = make_app(clock=ManualClock())
    return made


@pytest.fixture
def store(app: Flask) -> KeyStore:
    held: KeyStore = runtime(app).keys.store
    return held


def test_a_key_is_kept_as_a_hash_only(app: Flask, store: KeyStore, tmp_path: Path) -> None:
    """Who reads the database cannot call."""
    key, text = store.create("ci", ["archive:write"])
    runtime(app).engine.dispose()

    kept = b"".join(file.read_bytes() for file in tmp_path.glob("test.db*"))

    assert key.id.encode() in kept
    assert hash_key(text).encode() in kept
    assert text.rpartition("_")[2].encode() not in kept


def test_a_key_is_listed_without_its_secret(store: KeyStore) -> None:
    """With what was said of it."""
    key, text = store.create("ci", ["sms:send", "archive:write"])

    assert store.list() == [key]
    assert (key.name, key.scopes, key.last_used_at, key.revoked_at) == (
        "ci",
        ("archive:write", "sms:send"),
        None,
        None,
    )
    assert text.rpartition("_")[2] not in repr(store.list())


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_key_needs_a_name(store: KeyStore, name: str) -> None:
    """Of a length that the table holds."""
    with pytest.raises(InvalidInput):
        store.create(name, ["sms:send"])


def test_a_revoked_key_is_known_no_more(app: Flask, store: KeyStore) -> None:
    """At once where it was revoked first, elsewhere when what was read is old."""
    clock = runtime(app).clock
    assert isinstance(clock, ManualClock)
    ring = KeyRing(store, cache_s=0.25, clock=clock)
    key, text = store.create("ci", ["sms:send"])
    assert ring.find(text) == key
    ring.close()  # its use is noted in the background

    revoked = store.revoke(key.id)

    assert revoked.revoked_at == clock.now_ms()
    assert ring.find(text) is not None
    clock.advance(0.3)
    assert ring.find(text) is None
    assert store.revoke(key.id) == revoked


def test_a_key_that_is_not_there_cannot_be_revoked(store: KeyStore) -> None:
    """The id is wrong, and is said to be."""
    with pytest.raises(Missing):
        store.revoke("nobody")


def test_a_new_key_is_known_though_it_was_asked_for_before(app: Flask, store: KeyStore) -> None:
    """What was not found is believed no longer than what was."""
    clock = runtime(app).clock
    assert isinstance(clock, ManualClock)
    ring = KeyRing(store, cache_s=0.25, clock=clock)
    _, text = make_key()

    assert ring.find(text) is None
    clock.advance(0.3)
    assert ring.find(text) is None


def test_another_secret_under_a_known_id_is_refused(store: KeyStore) -> None:
    """The id and the checksum are no secrets: who knows them knows nothing."""
    key, _ = store.create("ci", ["sms:send"])
    start = f"cby_{key.id}_{'x' * 32}"
    number, digits = zlib.crc32(start.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = (string.digits + string.ascii_lowercase + string.ascii_uppercase)[digit] + digits

    assert parse_key_id(start + digits) == key.id
    assert KeyRing(store, cache_s=0.25).find(start + digits) is None


def _statements(app: Flask) -> list[str]:
    seen: list[str] = []
    event.listen(runtime(app).engine, "before_cursor_execute", lambda *args: seen.append(args[2].split()[0]))
    return seen


def test_junk_costs_no_look_up(app: Flask) -> None:
    """The checksum shows it."""
    ring = runtime(app).keys
    seen = _statements(app)

    for junk in ("", "junk", "cby_", "cby_aaaaaaaaaaaa_" + "x" * 38):
        assert ring.find(junk) is None

    assert seen == []


def test_a_key_is_looked_up_once_in_a_while(app: Flask, store: KeyStore) -> None:
    """Not for every request."""
    _, text = store.create("ci", ["sms:send"])
    ring = KeyRing(store, cache_s=0.25, clock=runtime(app).clock)
    ring.find(text)
    _wait_for_writers()
    seen = _statements(app)

    for _ in range(100):
        ring.find(text)

    assert seen == []


def test_the_last_use_is_kept_to_the_minute(app: Flask, store: KeyStore) -> None:
    """One write a minute, for any number of requests, and never back in time."""
    clock = runtime(app).clock
    assert isinstance(clock, ManualClock)
    key, text = store.create("ci", ["sms:send"])
    ring = KeyRing(store, cache_s=0.25, clock=clock)
    seen = _statements(app)

    for _ in range(180):
        ring.find(text)
        clock.advance(1.0)
    _wait_for_writers()

    found = store.find(key.id)
    assert found is not None
    assert found[0].last_used_at == (clock.now_ms() - 1000) // 60_000 * 60_000
    assert seen.count("UPDATE") <= 4
    store.note_used({key.id: 0})
    assert store.find(key.id) == found


def test_a_database_that_is_away_is_no_unknown_key(make_app: Any, tmp_path: Path) -> None:
    """The error says to try again, not that the key is wrong."""
    app = make_app(database_url=f"sqlite:///{tmp_path}/keys.db")
    ring = runtime(app).keys
    runtime(app).engine.dispose()
    (tmp_path / "keys.db").write_bytes(b"no database" * 1000)
    _, text = make_key()

    with pytest.raises(Unreachable):
        ring.find(text)
    answer = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_what_is_kept_of_unknown_keys_is_bounded(store: KeyStore) -> None:
    """Any client can make keys that look right."""
    ring = KeyRing(store, cache_s=60.0, max_kept=10)

    for _ in range(50):
        ring.find(make_key()[1])

    assert len(ring) <= 10


def _wait_for_writers() -> None:
    for thread in threading.enumerate():
        if thread.name == "carboy-keys":
            thread.join(10)


def test_keys_without_the_part_that_keeps_them_say_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`carboy keys` in a service that was installed without a database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "carboy.web.auth.key_store", None)
    held = runtime(create_app(modules=()))

    with pytest.raises(MissingExtra) as refused:
        held.keys  # noqa: B018 (it is made when it is asked for)
    held.close()

    assert refused.value.hint == "pip install 'carboy[db]'"
