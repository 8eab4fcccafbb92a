"""The reference pages say what the code says."""

from pathlib import Path

from carboy.cli.reference import stale_pages
from carboy.config import settings_of
from carboy.config.base import BaseSettings
from carboy.config.load import read_sources
from carboy.serve import ServeSettings
from carboy.web import settings_parts

ROOT = Path(__file__).parents[2]


def test_the_reference_pages_are_not_stale() -> None:
    """`python -m carboy.cli.reference` writes them anew."""
    assert stale_pages(ROOT / "docs" / "reference") == []


def test_every_setting_has_words(tmp_path: Path) -> None:
    """One sentence without a full stop; a number of seconds or bytes says so in its name or unit."""
    for part in (BaseSettings, ServeSettings, *settings_parts(read_sources(folder=tmp_path, environ={}))):
        for item in settings_of(part):
            assert item.help, item.name
            assert not item.help.endswith("."), item.name
            if item.name.endswith("_S"):
                assert item.unit == "s", item.name
