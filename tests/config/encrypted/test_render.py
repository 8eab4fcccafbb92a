"""What a stage sees, in other forms."""

import json
import subprocess
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.signing_keys import MemoryKeys

from carboy.config.encrypted.render import encrypt_buffers, render_env, split_text
from carboy.config.encrypted.yaml_document import parse_document
from carboy.config.encrypted.yaml_edit import dump_json, dump_yaml, same
from carboy.config.files import parse_dotenv
from carboy.errors import ConfigurationError

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=10,
)


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(4, 40))
def test_no_character_is_cut_at_a_buffers_edge(text: str, size: int) -> None:
    """Each piece is text of its own, and none is over the limit."""
    pieces = split_text(text, size)

    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


def test_buffers_hold_what_kms_takes() -> None:
    """4,096 characters of two bytes each are over its limit of 4,096 bytes."""
    keys = MemoryKeys("k")
    values = {"a": "é" * 6_000, "b": "😀" * 3_000}

    buffers = encrypt_buffers(values, keys, "alias/k")

    assert json.loads("".join(keys.decrypt(b64decode(buffer), None, {})[0].decode() for buffer in buffers)) == values


@given(st.dictionaries(TEXT | st.integers() | st.booleans(), VALUES, max_size=4))
def test_rendered_yaml_reads_back_the_same_here_and_in_yaml_1_1(values: dict[object, object]) -> None:
    """What is text stays text: `yes`, `1:30`, `0o14`, `2024-01-01`."""
    import yaml

    text = dump_yaml(values)

    assert same(parse_document(text, "c").tree, values)
    assert same(yaml.safe_load(text), values)


@pytest.mark.parametrize(
    "text", ["yes", "NO", "1:30", "0o14", "012", "2024-01-01", "~", "1e3", ".5", "=", "<<", "1_000"]
)
def test_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    """For readers of either version of YAML."""
    import yaml

    assert yaml.safe_load(dump_yaml({"k": text})) == {"k": text}
    assert parse_document(dump_yaml({"k": text}), "c").tree == {"k": text}


@given(
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), TEXT.filter(lambda text: "\0" not in text))
)
def test_dotenv_is_read_back_the_same(values: dict[str, str]) -> None:
    """By the reader of `.env` files here."""
    assert parse_dotenv(render_env(values)) == values


def test_a_shell_reads_dotenv_as_it_is_meant() -> None:
    """No value is run."""
    values = {"A": "it's; touch pwned #", "B": '$HOME `id` "q"', "C": "plain", "D": "a b"}

    done = subprocess.run(
        ["sh", "-c", ". /dev/stdin; printf '%s\\0' \"$A\" \"$B\" \"$C\" \"$D\""],
        input=render_env(values), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.split("\0")[:-1] == list(values.values())


def test_dotenv_names_are_the_settings_names() -> None:
    """Upper case, nested keys joined by `_`; lists are JSON, null is nothing."""
    values = {"db": {"host": "h", "port": 5432}, "debug": False, "ratio": 1.5, "hosts": ["a", 1], "none": None, "e": {}}

    assert render_env(values) == "DB_HOST=h\nDB_PORT=5432\nDEBUG=false\nRATIO=1.5\nHOSTS='[\"a\",1]'\nNONE=''\nE='{}'\n"


def test_names_that_clash_or_cannot_be_are_reported_at_once() -> None:
    """Before anything is printed."""
    with pytest.raises(ConfigurationError) as caught:
        render_env({"a": {"b": 1}, "a_b": 2, "c-d": 3, 8080: 4})
    assert [fault.pointer for fault in caught.value.faults] == ["a_b", "c-d", "8080"]


def test_json_that_would_lose_a_key_is_refused() -> None:
    """8080 and "8080" are two keys, and one in JSON."""
    with pytest.raises(ConfigurationError, match="become the same text: a"):
        dump_json({"a": {8080: 1, "8080": 2}})
    with pytest.raises(ConfigurationError, match="infinite"):
        dump_json({"a": float("inf")})
