"""Blocks that are not run are listed with a reason; blocks of settings and data can be read."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.tools.blocks import PAGE, not_run, render_page
from tests.docs.pages import PAGES, Block, blocks, name

from carboy.config import Profile, Reference, Sources, load
from carboy.errors import ConfigurationError
from carboy.web import settings_parts

_READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
_DATA: list[Any] = [
    pytest.param(page, number, block, id=f"{name(page)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language in _READERS and "…" not in re.sub(r'"[^"\n]*"', "", block.text)  # outside of texts: an excerpt
]
_TOML = [one for one in _DATA if one.values[2].language == "toml"]
_TOP = ({"default", "profile", "app"}, {"project", "tool", "build-system", "dependency-groups"})  # and `pyproject.toml`
_SETTINGS = [one for one in _TOML if tomllib.loads(one.values[2].text).keys() & _TOP[0]]
pytestmark = pytest.mark.docs


def test_the_page_lists_the_blocks_that_are_not_run() -> None:
    """As they are now."""
    assert PAGE.read_text("utf-8") == render_page(), "run `python -m docs.tools.blocks`"


def test_a_block_that_is_not_run_says_why() -> None:
    """On the line before it, where who changes the block reads it."""
    assert [(name(page), block.text) for page, block in not_run() if not block.reason] == []


@pytest.mark.parametrize(("page", "number", "block"), _DATA)
def test_a_block_of_data_can_be_read(page: Path, number: int, block: Block) -> None:
    """By the reader of its language."""
    assert _READERS[block.language](block.text), (name(page), number)


class _Vault:
    """Has a text for every reference."""

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str]:
        """Return the same for each."""
        return dict.fromkeys(references, "c2VjcmV0LW9mLXRoZS1kb2NzLTMyLWJ5dGVzLWxvbmc=")


@pytest.mark.parametrize(("page", "number", "block"), _TOML)
def test_a_block_of_toml_is_of_a_file_that_is_known(page: Path, number: int, block: Block) -> None:
    """Of a `carboy.toml` or a `pyproject.toml`: a table at the top that neither has would be checked by nothing."""
    assert any(tomllib.loads(block.text).keys() <= known for known in _TOP), (name(page), number)


@pytest.mark.parametrize(("page", "number", "block"), _SETTINGS)
def test_a_block_of_settings_has_settings_only(page: Path, number: int, block: Block, tmp_path: Path) -> None:
    """Each name is declared or the reader's own, not misspelt; each value is valid, whatever else it may need."""
    document = tomllib.loads(block.text)
    for table in (document.get("default", {}), *document.get("profile", {}).values()):
        table.pop("modules", None)
    vault = _Vault()
    resolvers = {scheme: vault for scheme in ("file", "aws-secretsmanager", "aws-parameterstore")}  # noqa: C420 (its type)
    faults: list[object] = []
    for profile in ("test", *document.get("profile", {})):
        sources = Sources(Profile(profile), tmp_path, toml=document)
        try:
            faults += load(settings_parts(sources), sources, resolvers=resolvers).warnings
        except ConfigurationError as error:
            faults += [one for one in error.faults if "(from default)" not in one.detail]

    assert faults == [], (name(page), number)
