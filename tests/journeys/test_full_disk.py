"""The disk of the instance folder is full: nothing is answered 202 that could not be kept, and it heals by itself."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import eventually

pytestmark = pytest.mark.journey


@pytest.fixture
def small_disk(gateway: Gateway) -> Iterator[Path]:
    """An instance folder on a disk of 8 MB."""
    instance = gateway.folder / "instance"
    instance.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(instance)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield instance
    finally:
        subprocess.run(["umount", "-l", str(instance)], check=True)


def test_a_full_disk(gateway: Gateway, small_disk: Path) -> None:
    """503 with `Retry-After` while there is no room, 202 again when there is."""
    server = gateway.start()
    gateway.load(server.url, gateway.calls(20))
    ballast = small_disk / "ballast"
    fill(ballast)

    def is_refused() -> bool:
        fill(ballast)
        gateway.load(server.url, gateway.calls(20))
        return gateway.statuses == {202, 503}

    eventually(is_refused, "requests are refused")
    fill(ballast)
    assert gateway.post(server.url) == (503, "5")
    ballast.unlink()

    eventually(lambda: gateway.post(server.url)[0] == 202, "a request is accepted again")
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert gateway.statuses == {202, 503}


def fill(path: Path) -> None:
    """Grow a file until the disk takes no more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
