"""What every store keeps, on a folder, in memory, and on two servers that speak S3; SeaweedFS is no mock."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services.archive.kit import bucket_of

from carboy.errors import ConfigurationError, InvalidInput, Missing
from carboy.services.archive.object_store import open_store, tutorial_url
from carboy.services.archive.objects import Put, Store, check_key

ODD_KEYS = ["a/b~12345678", "a/=2Fb", "a/%2Fb", "a b/c", "é/x", "a/*?b", "a+b/c&d", "a/b.json", "it's/(here)!"]
BAD_KEYS = ["", "/", "/a", "a/", "a//b", "../a", "a/../b", "a/..", ".", "./a", "a/.hidden", "a\\b", "a\0b", "a\nb"]
BAD_KEYS += ["\ud800", "k" * 256, "é" * 128, "/".join("x" * 9 for _ in range(91))]


@pytest.fixture(params=["folder", "memory", "moto", "seaweedfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "folder":
            return open_store((tmp_path / "archive").as_uri())
        case "memory":
            return open_store("memory://")
        case "moto":
            return bucket_of(request.getfixturevalue("moto_s3"))
        case _:
            return bucket_of(request.getfixturevalue("weed"))


def test_an_object_is_read_back_as_it_was_stored(store: Store) -> None:
    """Every byte comes back, none added."""
    data = bytes(range(256)) * 17

    assert store.put_new("alerts/58/7c/587c", data, "application/octet-stream") is Put.CREATED
    assert store.get("alerts/58/7c/587c") == data


def test_an_object_may_be_empty(store: Store) -> None:
    """Nothing is content too."""
    store.put_new("a/empty", b"", "application/json")

    assert store.get("a/empty") == b""


def test_an_object_is_never_overwritten_by_a_new_one(store: Store) -> None:
    """The second writer gets an error, and changes nothing."""
    store.put_new("a/b", b"first", "application/json")

    assert store.put_new("a/b", b"second", "application/json") is Put.EXISTED
    assert store.get("a/b") == b"first"


def test_a_replay_overwrites(store: Store) -> None:
    """`put` replaces, whether or not there was something."""
    store.put("a/b", b"first", "application/json")
    store.put("a/b", b"second", "application/json")

    assert store.get("a/b") == b"second"


def test_of_many_writers_one_creates(store: Store) -> None:
    """Sixteen at once: one winner for each key, and its content is what is kept."""
    barrier = Barrier(16)

    def write(number: int) -> list[int]:
        barrier.wait()
        data = str(number).encode()
        return [key for key in range(5) if store.put_new(f"race/{key}", data, "text/plain") is Put.CREATED]

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))

    assert sorted(key for keys in won for key in keys) == list(range(5))
    for number, keys in enumerate(won):
        assert all(store.get(f"race/{key}") == str(number).encode() for key in keys)


def test_what_is_not_there_is_missing(store: Store) -> None:
    """Reading says so by its own error; looking returns nothing; removing is content."""
    store.put_new("a/b", b"x", "text/plain")

    for absent in ("nothing", "a", "a/b/c", "a/bc"):
        with pytest.raises(Missing):
            store.get(absent)
        assert store.head(absent) is None
        store.delete(absent)
    assert store.get("a/b") == b"x"


def test_a_lookup_returns_size_and_age(store: Store) -> None:
    """Without reading the content."""
    store.put_new("a/b", b"12345", "text/plain")
    found = store.head("a/b")

    assert found is not None
    assert found.size_bytes == 5
    assert abs(found.modified_at - datetime.now(UTC)) < timedelta(hours=1)


def test_a_removed_object_is_gone(store: Store) -> None:
    """And its key is free again."""
    store.put_new("a/b", b"first", "text/plain")
    store.delete("a/b")

    assert store.head("a/b") is None
    assert store.put_new("a/b", b"second", "text/plain") is Put.CREATED


def test_objects_are_removed_together_and_others_stay(store: Store) -> None:
    """Some of them need not be there, nor their folders."""
    for key in ("a/b", "a/c", "d/e/f"):
        store.put_new(key, b"x", "text/plain")
    store.delete_all(["a/b", "d/e/f", "a/none", "none/none"])
    store.delete_all([])

    assert [entry.key for entry in store.list("")] == ["a/c"]


def test_keys_with_odd_characters_stay_apart(store: Store) -> None:
    """Each is its own object, listed under the very name it was given."""
    for key in ODD_KEYS:
        assert store.put_new(key, key.encode(), "text/plain") is Put.CREATED

    assert all(store.get(key) == key.encode() for key in ODD_KEYS)
    assert {entry.key for entry in store.list("")} == set(ODD_KEYS)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_no_key_leads_out_of_the_archive(store: Store, key: str) -> None:
    """What would mean another place, or nothing, is refused before anything is asked."""
    for call in (store.get, store.head, store.delete):
        with pytest.raises(InvalidInput):
            call(key)
    with pytest.raises(InvalidInput):
        store.put_new(key, b"x", "text/plain")
    with pytest.raises(InvalidInput):
        store.put(key, b"x", "text/plain")


def test_a_list_is_of_whole_segments(store: Store) -> None:
    """`webhooks/2017/01` is not the beginning of `webhooks/2017/010`."""
    for key in ("w/2017/01/x", "w/2017/01/y/z", "w/2017/010/x", "w/2017/0", "v/x"):
        store.put_new(key, b"12", "text/plain")

    assert [entry.key for entry in store.list("w/2017/01")] == ["w/2017/01/x", "w/2017/01/y/z"]
    assert [entry.key for entry in store.list("w/2017/01/")] == ["w/2017/01/x", "w/2017/01/y/z"]
    assert [entry.size_bytes for entry in store.list("v")] == [2]
    assert list(store.list("nothing/here")) == []
    assert len(list(store.list(""))) == 5


def test_a_minute_is_listed_in_the_order_of_its_keys(store: Store) -> None:
    """Versions come after what they are versions of; the next page starts after the last key."""
    names = ["587c", "587c~00000001", "587c~fffffff0", "587d", "587c-x", "A", "_", "z", "587=2Fc"]
    for name in names:
        store.put_new(f"webhooks/2017/01/16/13/31/{name}", b"x", "text/plain")
    store.put_new("webhooks/2017/01/16/13/32/0", b"x", "text/plain")

    found = [entry.key for entry in store.list("webhooks/2017/01/16/13")]

    assert found[:-1] == [f"webhooks/2017/01/16/13/31/{name}" for name in sorted(names)]
    for at, key in enumerate(found):
        assert [entry.key for entry in store.list("webhooks/2017/01/16/13", after=key)] == found[at + 1 :]


@pytest.mark.slow
def test_a_long_list_comes_whole(store: Store) -> None:
    """More than one page of the server's, none twice, none missing."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put_new(f"m/{number:04}", b"x", "text/plain"), range(1203)))

    assert [entry.key for entry in store.list("m")] == [f"m/{number:04}" for number in range(1203)]
    assert next(store.list("m", after="m/1199")).key == "m/1200"


def test_a_store_that_works_says_so(store: Store) -> None:
    """Before and after the first object."""
    store.check()
    store.put_new("a/b", b"x", "text/plain")
    store.check()


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.text(max_size=12), max_size=8))
def test_a_key_that_is_accepted_is_one_object_of_the_folder(tmp_path: Path, keys: list[str]) -> None:
    """Any text is refused, or stored below the root under exactly that name."""
    root = tmp_path / os.urandom(8).hex()
    folder = open_store(root.as_uri())
    stored: dict[str, bytes] = {}
    for number, key in enumerate(keys):
        try:
            check_key(key)
        except InvalidInput:
            continue
        if any(key.startswith(f"{other}/") or other.startswith(f"{key}/") for other in stored):
            continue  # a name is a file or a folder, never both
        if folder.put_new(key, str(number).encode(), "text/plain") is Put.CREATED:
            stored[key] = str(number).encode()

    assert {entry.key: folder.get(entry.key) for entry in folder.list("")} == stored
    assert [entry.key for entry in folder.list("")] == sorted(stored)
    assert {path.name for path in tmp_path.iterdir()} >= {path.name for path in [root] if stored}


@pytest.mark.parametrize(
    "url",
    [
        *("", "archive", "/var/archive", "ftp://host/x", "http://host/x", "s3://", "s3:///prefix", "file://"),
        *("s3://user:secret@bucket/x", "s3://bucket/x?region=eu-west-1", "s3://bucket/x#y", "az://"),
    ],
)
def test_a_url_that_names_no_store_stops_the_start(url: str) -> None:
    """With the setting's name, and without its value, which may hold a secret."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)

    assert "ARCHIVE_URL" in caught.value.why
    assert "secret" not in str(caught.value)


def test_an_option_that_the_cloud_does_not_know_stops_the_start() -> None:
    """A misspelt setting is not ignored."""
    with pytest.raises(ConfigurationError):
        open_store("s3://bucket/x", regoin="eu-west-1")


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "az://container/prefix", "s3://bucket"])
def test_the_other_clouds_open_without_a_call(url: str) -> None:
    """Nothing is asked before the first object."""
    options = {"account_name": "us", "account_key": "c2VjcmV0"} if url.startswith("az") else {}

    assert open_store(url, **options) is not None  # type: ignore[arg-type]


def test_a_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the default, `file://./instance/archive`; a `%20` is a space."""
    monkeypatch.chdir(tmp_path)
    open_store("file://./instance/the%20archive").put_new("a", b"x", "text/plain")
    open_store("file://instance/the%20archive").put_new("b", b"x", "text/plain")
    open_store(f"file://localhost{tmp_path}/instance/the%20archive").put_new("c", b"x", "text/plain")

    assert sorted(path.name for path in (tmp_path / "instance/the archive").iterdir()) == [".incoming", "a", "b", "c"]


def test_the_tutorials_settings_are_a_url() -> None:
    """`TS_AWS_S3_BUCKET` and `TS_AWS_S3_PREFIX`, which may have slashes around it or be empty."""
    assert tutorial_url("bucket") == "s3://bucket"
    assert tutorial_url("bucket", "/threat/stack/") == "s3://bucket/threat/stack"
