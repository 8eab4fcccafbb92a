"""What the documentation prints runs as printed; `tests.docs.pages` says which block is what."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
import pytest
from tests.docs.pages import (
    PAGES,
    ROOT,
    carboy_commands,
    is_like,
    is_walk,
    name,
    on_ports,
    ports_of,
    python_of,
    said,
    walk,
)

from carboy.cli.main import cli
from carboy.testing.ports import free_port

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


@pytest.mark.timeout(440)
@pytest.mark.parametrize("page", [page for page in PAGES if is_walk(page)], ids=name)
def test_who_does_what_a_page_says_sees_what_it_says(page: Path, tmp_path: Path) -> None:
    """Every file is written, every command runs, in one shell; what is printed is what the page prints."""
    script = walk(page)
    ports = [(port, free_port()) for port in ports_of(script)]

    output = run_shell(on_ports(script, ports), tmp_path)

    assert "@@@ end" in output, output[-3000:]
    for wanted, printed in said(page, output):
        assert is_like(on_ports(wanted, ports), printed), f"the page says\n{wanted}\nand there came\n{printed}"


def run_shell(script: str, folder: Path) -> str:
    """Return what a script of a shell prints; all that it has started ends with it."""
    (folder / "page").mkdir()
    (folder / ".curlrc").write_text('silent\nshow-error\nwrite-out = "\\n"\n', encoding="utf-8")
    (folder / "walk.sh").write_text(script, encoding="utf-8")
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "CARBOY_CACHE": str(folder / "cache")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "FLASK_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    with (folder / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "../walk.sh"],
            cwd=folder / "page",
            env={**kept, **home, "PATH": path, "REPOSITORY": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):  # what there is by then says where it hangs
            shell.wait(400)
        end_group(shell)
        output.seek(0)
        return output.read()


def end_group(shell: subprocess.Popen[bytes]) -> None:
    """Stop a shell and all in its group: first so that servers take down what they started, then for certain."""
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGTERM)
        for _ in range(100):
            shell.poll()
            os.killpg(shell.pid, 0)
            time.sleep(0.1)
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait(10)


@pytest.mark.parametrize("page", [page for page in PAGES if any(carboy_commands(page))], ids=name)
def test_every_command_of_a_page_is_one_of_ours(page: Path) -> None:
    """Its subcommands, options and arguments are those that `carboy` knows."""
    for words in carboy_commands(page):
        context = cli.make_context("carboy", [one for one in words if one != "--help"], resilient_parsing=False)
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


def test_every_page_of_how_to_is_in_the_index() -> None:
    """A page that no other names is found by nobody."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")

    assert [page.name for page in (ROOT / "docs").rglob("*.md") if page.name not in index] == ["index.md"]
