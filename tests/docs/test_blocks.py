"""The Python of the documentation runs as printed, its commands exist, its links resolve.

`tests.docs.pages` says which block is what; pages of commands that run are walked in `test_walks`.
"""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.docs.pages import PAGES, ROOT, carboy_commands, name, python_of

from carboy.cli.main import cli

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)(#[^)\s]*)?\)")

pytestmark = pytest.mark.docs


@pytest.mark.parametrize("page", [page for page in PAGES if python_of(page)], ids=name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """A reader who pastes them sees no error."""
    found = python_of(page)
    for block in found:
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    script = tmp_path / "blocks.py"
    script.write_text("\n\n".join(block.text for block in found if not block.title), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", [page for page in PAGES if any(carboy_commands(page))], ids=name)
def test_every_command_of_a_page_is_a_command_of_carboy(page: Path) -> None:
    """Its subcommands, options and arguments are those that `carboy` knows."""
    for words in carboy_commands(page):
        asked = [one for one in words if one not in {"--help", "--version"}]
        if not asked:
            continue
        context = cli.make_context("carboy", asked, resilient_parsing=False)
        command: click.Command = cli
        while isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            if not rest:
                break
            found, below, rest = command.resolve_command(context, rest)
            assert found is not None, words
            assert below is not None, words
            context = below.make_context(found, rest, parent=context)
            command = below


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Within the repository; addresses elsewhere are not asked."""
    targets = [match[1] for match in _LINK.finditer(page.read_text("utf-8")) if "://" not in match[1]]

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    """A page that no other page links to is not found."""
    docs = ROOT / "docs"
    linked = {match[1] for match in _LINK.finditer((docs / "index.md").read_text("utf-8"))}

    own_index = {"adr", "runbooks"}
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md") if page.parent.name not in own_index}

    assert pages - linked == {"index.md"}
