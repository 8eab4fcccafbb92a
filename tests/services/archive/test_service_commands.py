"""`carboy archive`, as a process of its own; and what the tutorial got wrong, each named after what must hold."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ID = "587c0159a907346eccb84004"
OTHER = "587c0159a907346eccb84005"
AT_MS = 1_484_661_060_000
PATH = "/api/v1/s3/alert"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def archive(tmp_path: Path) -> Command:
    """Run `carboy archive …` in a project of its own."""

    def run(*arguments: str, code: int = 0, **environ: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "carboy", "archive", *arguments],
            cwd=tmp_path,
            env={**os.environ, "MODULES": "carboy.services.archive", "LOG_LEVEL": "ERROR", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def _on_a_terminal(folder: Path, *arguments: str) -> str:
    """Return what `carboy` writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "carboy", *arguments]
    environ = {**os.environ, "MODULES": "carboy.services.archive", "LOG_LEVEL": "ERROR"}
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run(command, cwd=folder, env=environ, stdout=terminal, check=True, timeout=60)
    with os.fdopen(ours, "rb") as terminal:
        return os.read(terminal.fileno(), 65_536).decode()


def tutorial(folder: Path) -> str:
    """Write what the tutorial's service wrote: a single alert, a whole webhook, details, and what is neither."""
    alert = {"id": ID, "title": "one", "created_at": str(AT_MS), "severity": 1}
    more = {"id": OTHER, "title": "two", "created_at": AT_MS + 1000}
    files = {
        f"webhooks/2017/01/17/13/51/{ID}": json.dumps(alert),
        "webhooks/2017/01/17/13/51/5b3c0159a907346eccb80001": json.dumps({"alerts": [more]}),
        f"alerts/58/7c/{ID}": json.dumps({**alert, "full": True}),
        "webhooks/2017/01/17/13/51/broken": "{",
        "webhooks/readme.txt": "hello",
    }
    for key, text in files.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(text)
    return f"file://{folder}"


def test_what_the_tutorials_service_wrote_is_taken_over(archive: Command, tmp_path: Path) -> None:
    """Once; listed, read, verified, and an object that is changed or gone is found."""
    url = tutorial(tmp_path / "old")

    summary = json.loads(archive("import", url, "--json").stdout)
    assert {name: summary[name] for name in ("taken", "known", "skipped")} == {"taken": 2, "known": 0, "skipped": 2}
    assert {one["key"] for one in summary["reasons"]} == {"webhooks/2017/01/17/13/51/broken", "webhooks/readme.txt"}
    assert json.loads(archive("import", url, "--json").stdout)["known"] == 2

    listed = json.loads(archive("list", "--start", "2017-01-17T13:51:00Z", "--json").stdout)
    assert [one["id"] for one in listed] == [ID, OTHER]
    assert listed[0]["full"] is True
    piped = archive("get", ID).stdout
    assert json.loads(piped)["full"] is True
    assert not piped.endswith("\n")
    assert _on_a_terminal(tmp_path, "archive", "get", ID) == piped + "\r\n"
    assert archive("get", "unknown", code=4).stdout == ""

    assert json.loads(archive("verify", "--json").stdout) == {"verified": 3, "faults": []}
    kept = tmp_path / "instance" / "archive"
    (kept / "alerts/58/7c" / ID).write_text("{}")
    (kept / "webhooks/2017/01/17/13/51" / OTHER).unlink()
    found = json.loads(archive("verify", "--json", code=1).stdout)["faults"]
    assert {(one["key"], one["fault"]) for one in found} == {
        (f"alerts/58/7c/{ID}", "changed"),
        (f"webhooks/2017/01/17/13/51/{OTHER}", "missing"),
    }


def test_what_cannot_be_meant_is_not_done_silently(archive: Command, tmp_path: Path) -> None:
    """A place without an archive, a range that ends before it begins, an unknown source or a bad time."""
    assert "error: nothing was taken over" in archive("import", f"file://{tmp_path}/nowhere", code=1).stderr
    assert not (tmp_path / "nowhere").exists()

    reversed_ = archive("list", "--start", "2017-01-18T00:00:00Z", "--end", "2017-01-17T00:00:00Z", code=2)
    assert "--end is before --start" in reversed_.stderr
    assert "threatstack" in archive("list", "--source", "biling").stderr
    assert "ISO 8601" in archive("list", "--start", "yesterday", code=2).stderr


def test_replay_and_backfill_ask_the_api(archive: Command, tmp_path: Path, threat_stack: Any) -> None:
    archive("import", tutorial(tmp_path / "old"))
    environ = {"THREATSTACK_API_KEY": "test-api-key", "THREATSTACK_BASE_URL": threat_stack.base_url}
    [missed] = threat_stack.api.add_alerts(1, AT_MS)
    span = ("--from", "2017-01-17T00:00:00Z", "--until", "2017-01-18T00:00:00Z")

    assert archive("replay", OTHER, **environ).stdout.split() == [OTHER]
    assert archive("backfill", *span, "--dry-run", **environ).stdout.split() == [missed]
    assert archive("backfill", *span, **environ).stdout.split() == [missed]
    assert archive("backfill", *span, **environ).stdout.split() == []
    assert archive("backfill", *span, code=2).stdout == ""


def alert(alert_id: str = ID, **more: Any) -> dict[str, Any]:
    return {"id": alert_id, "created_at": str(AT_MS), **more}


def test_3_a_time_in_a_string_makes_a_key(gateway: Any) -> None:
    gateway.send(alert())
    assert gateway.kept() == [f"webhooks/2017/01/17/13/51/{ID}"]


def test_4_a_sender_is_answered_before_the_upstream_is_asked(fetching: Any, threat_stack: Any) -> None:
    """However slow or broken that is."""
    threat_stack.tell(fault=500)
    assert fetching.post(PATH, json={"alerts": [alert(), alert(OTHER)]}).status_code == 202
    assert fetching.get(f"{PATH}/{OTHER}").get_json()["detail"] == "pending"


@pytest.mark.parametrize("status", [500, 429, 503])
def test_7_an_upstream_that_fails_for_a_while_is_asked_again(fetching: Any, threat_stack: Any, status: int) -> None:
    threat_stack.tell(fault=status, fault_calls=1, retry_after_s=0)
    assert fetching.send(alert()).status_code == 200
    assert threat_stack.calls[ID] == 2


def test_8_a_webhooks_content_is_not_logged(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = serve(log_format="json", log_level="DEBUG")
    gateway.send(alert(title="hunter2"))
    gateway.post(PATH, json={"alerts": [alert(created_at="hunter2")]})
    assert "hunter2" not in capsys.readouterr().out


def test_10_the_status_asks_the_upstream_for_no_alert(fetching: Any, threat_stack: Any) -> None:
    """And a readiness probe asks it nothing at all."""
    before = threat_stack.connections
    for _ in range(5):
        fetching.get("/readyz")
    assert threat_stack.connections == before
    fetching.get("/api/v1/s3/status")
    assert threat_stack.calls == {}
