"""Any content gives values or an error in words, never a traceback."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted.decrypt import open_secrets, open_text, render_stage
from carboy.config.encrypted.encrypt import close_text, rekey_text, set_text
from carboy.config.encrypted.structure import parse_config, unresolved
from carboy.config.encrypted.yaml_edit import dump_yaml
from carboy.errors import CarboyError

DESK = Desk()
CLOSED = DESK.close(OPEN)
PIECES = [
    "stages:", "config:", "seal:", "format: 2", "+prod:", "+/.*/:", "+/[/:", ":encrypt:", ":decrypt:", ":sealed:AAAA",
    "&a", "*a", "<<: *a", "!!binary", "!x", "{", "}", "[", "]", ",", "- ", "? ", "|", ">", "'", '"', "#", "\n", "\n  ",
    "\t", "\0", "\ufeff", "\u2028", "\ud7ff", "%YAML 1.1", "---", "...", "1e999", ".nan", "0x", "~", "é",
]  # fmt: skip


def use(text: str | bytes) -> None:
    """Do with a file all that can be done."""
    with contextlib.suppress(CarboyError):
        close_text(text, "stdin", DESK.open(CLOSED), DESK.ring())
    with contextlib.suppress(CarboyError):
        close_text(text, "stdin", None, DESK.ring())
    try:
        config = parse_config(text, "config.yml")
    except CarboyError:
        return
    unresolved(config)
    with contextlib.suppress(CarboyError):
        dump_yaml(render_stage(config, "prod", DESK.ring()))
    with contextlib.suppress(CarboyError):
        set_text(config, DESK.ring(), "prod", "a.b", "x", is_secret=True)
    with contextlib.suppress(CarboyError):
        opened = open_secrets(config, DESK.ring())
        if not config.document.is_json:
            open_text(opened)
        rekey_text(opened, DESK.ring(), list(config.stages), to_sealed=True)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=25).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Pieces of YAML in any order."""
    use(text)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Not only text."""
    use(data)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_a_changed_file_is_read_or_refused(data: st.DataObject) -> None:
    """One cut, one insertion."""
    text = data.draw(st.sampled_from([OPEN, CLOSED]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))

    use(text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(PIECES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PIECES, "+prod", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.fixed_dictionaries(
        {"stages": JSON_VALUES, "config": JSON_VALUES}, optional={"seal": JSON_VALUES, "format": JSON_VALUES}
    )
)
def test_any_tree_is_read_or_refused(tree: dict[str, object]) -> None:
    """YAML that is right, and says anything."""
    use(dump_yaml(tree))
    use(dump_yaml({**tree, "stages": {"prod": {"environment": "e", "key": "prod-key"}}}))
