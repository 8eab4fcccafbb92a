"""`make demo`, as people run it."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

DEMO = [sys.executable, "-m", "tests.lab.demo"]


def environ(folder: Path) -> dict[str, str]:
    """Return an environment in which another service has its settings; the demo is not to follow them."""
    return {**os.environ, "TMPDIR": str(folder), "DATABASE_URL": "nonsense://", "ARCHIVE_URL": "s3://no-such-bucket"}


def test_the_demo_archives_everything_exactly_once_and_cleans_up(tmp_path: Path) -> None:
    """In a pipe: plain lines, the keys and the counts, and nothing left behind."""
    done = subprocess.run(
        [*DEMO, "--alerts", "80"], env=environ(tmp_path), capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\r" not in done.stdout
    assert re.search(r"^80 of 80 archived$", done.stdout, re.MULTILINE)
    assert re.search(r"^  webhooks/2017/01/17/\d\d/\d\d/[0-9a-f]{24}$", done.stdout, re.MULTILINE)
    assert re.search(r"^  alerts/58/7e/[0-9a-f]{24}$", done.stdout, re.MULTILINE)
    assert "Webhooks: 80 accepted, 8 duplicates" in done.stdout
    for outcome in ("200: 80", "404: ", "429: ", "500: ", "503: ", "cut: ", "stall: "):
        assert outcome in done.stdout
    assert "Every alert is archived exactly once" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_shows_a_bar_on_a_terminal_and_ends_when_asked(tmp_path: Path) -> None:
    """Ended in the middle it leaves nothing behind either."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*DEMO, "--alerts", "300"], env=environ(tmp_path), stdout=theirs, stderr=theirs, stdin=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while b"archived" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                os.read(ours, 65536)
            except OSError:
                break
        assert process.wait(60) == 143
    os.close(ours)
    assert re.search(rb"\r\[#*\.*\] \d+/300 archived", seen)
    assert list(tmp_path.iterdir()) == []
