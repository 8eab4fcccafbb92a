"""Who does what a page of commands says sees what it says; `tests.docs.pages` says which block is what."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, is_like, is_walk, name, on_ports, ports_of, said, walk

from carboy.testing.ports import free_port
from carboy.testing.processes import require
from carboy.testing.processes.running import find_binary

_NEEDED = {
    "mariadb()": ("mariadbd", "mariadb-server"),
    "nginx -e": ("nginx", "nginx"),
    "openssl ": ("openssl", "openssl"),
}

pytestmark = pytest.mark.docs


@pytest.mark.timeout(440)
@pytest.mark.parametrize("page", [page for page in PAGES if is_walk(page)], ids=name)
def test_who_does_what_a_page_says_sees_what_it_says(page: Path, tmp_path: Path) -> None:
    """Every file is written, every command runs, in one shell; what is printed is what the page prints."""
    script = walk(page)
    for words, program in _NEEDED.items():
        if words in script:
            with require(_installed, *program):
                pass
    ports = [(port, free_port()) for port in ports_of(script)]

    output = run_shell(on_ports(script, ports), tmp_path)

    assert "@@@ end" in output, output[-3000:]
    for wanted, printed in said(page, output):
        assert is_like(on_ports(wanted, ports), printed), f"the page says\n{wanted}\nand there came\n{printed}"


@contextmanager
def _installed(program: str, package: str) -> Iterator[str]:
    """Give the path of a program, as those that run a server do."""
    yield find_binary(program, package)


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
        try:
            with suppress(subprocess.TimeoutExpired):  # what there is by then says where it hangs
                shell.wait(400)
        finally:
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
