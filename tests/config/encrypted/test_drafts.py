"""What stays on the machine between two commands."""

from pathlib import Path

import pytest
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted.drafts import Drawer, make_draft_key
from carboy.config.encrypted.encrypt import rekey_text


def test_a_draft_opens_with_the_keys_of_its_file(tmp_path: Path, desk: Desk) -> None:
    """And lies sealed until then."""
    opened = desk.open(desk.close(OPEN))
    drawer = Drawer(tmp_path, tmp_path / "config.yml")

    assert drawer.keep_draft(make_draft_key(opened, desk.ring()), "a half-done hunter2")

    assert all(b"hunter2" not in path.read_bytes() for path in tmp_path.rglob("*.json"))
    assert drawer.open_draft(make_draft_key(opened, desk.ring(), drawer.draft_parts())) == "a half-done hunter2"
    drawer.drop_draft()
    assert drawer.draft_parts() is None


def test_a_draft_of_fleeces_file_has_keys_of_its_own(tmp_path: Path, desk: Desk) -> None:
    """One of each stage: who may open only one opens no draft."""
    opened = desk.open(desk.fleece(OPEN))
    drawer = Drawer(tmp_path, tmp_path / "config.yml")
    drawer.keep_draft(make_draft_key(opened, desk.ring()), "draft")
    parts = drawer.draft_parts()

    assert parts is not None
    assert sorted(parts) == ["/.*/", "prod"]
    assert drawer.open_draft(make_draft_key(opened, desk.ring(), parts)) == "draft"


def test_a_draft_does_not_open_once_the_file_has_new_keys(tmp_path: Path, desk: Desk) -> None:
    """It says so, and does not fail."""
    closed = desk.close(OPEN)
    drawer = Drawer(tmp_path, tmp_path / "config.yml")
    drawer.keep_draft(make_draft_key(desk.open(closed), desk.ring()), "draft")
    rekeyed = desk.open(rekey_text(desk.open(closed), desk.ring(), ["prod"], to_sealed=False))

    assert make_draft_key(rekeyed, desk.ring(), drawer.draft_parts()) is None
    assert drawer.open_draft(make_draft_key(rekeyed, desk.ring())) is None


@pytest.mark.slow
def test_a_mark_shows_the_same_text_for_the_same_file(tmp_path: Path) -> None:
    """And holds nothing of either."""
    drawer = Drawer(tmp_path, tmp_path / "config.yml")
    drawer.mark(b"closed", "open hunter2")

    assert drawer.is_marked(b"closed", "open hunter2")
    assert not drawer.is_marked(b"closed", "open other")
    assert not drawer.is_marked(b"other", "open hunter2")
    assert all(b"hunter2" not in path.read_bytes() for path in tmp_path.rglob("*.json"))


@pytest.mark.slow
def test_a_machine_that_keeps_nothing_still_works(tmp_path: Path, desk: Desk) -> None:
    """The cache may be off, or on a disk that cannot be written."""
    for folder in (None, Path("/proc/none")):
        drawer = Drawer(folder, tmp_path / "config.yml")
        drawer.mark(b"closed", "open")
        assert not drawer.is_marked(b"closed", "open")
        assert not drawer.keep_draft(make_draft_key(desk.open(desk.close(OPEN)), desk.ring()), "draft")
        assert drawer.draft_parts() is None
