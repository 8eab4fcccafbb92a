"""The audit of dependencies finds locked versions that an advisory affects, without a network."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"
LOCK = """
[[package]]
name = "left.pad"
version = "1.5.0"
"""


def _audit(folder: Path, advisories: Path) -> subprocess.CompletedProcess[str]:
    lock = folder / "uv.lock"
    lock.write_text(LOCK)
    return subprocess.run(
        [sys.executable, AUDIT, advisories, lock], capture_output=True, text=True, check=False, timeout=60
    )


def _record(events: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Left_Pad"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return {"id": "PYSEC-1", "summary": "pads too far", "affected": [affected], **more}


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([{"introduced": "0"}, {"fixed": "1.5.1"}], 1),
        ([{"introduced": "0"}, {"fixed": "1.5.0"}], 0),
        ([{"introduced": "1.6"}], 0),
        ([{"introduced": "0"}, {"last_affected": "1.5.0"}], 1),
        ([{"introduced": "0"}, {"last_affected": "1.4"}], 0),
        ([{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.4"}, {"fixed": "1.10"}], 1),
    ],
)
def test_a_locked_version_in_an_affected_range_is_found(
    events: list[dict[str, str]], code: int, tmp_path: Path
) -> None:
    """Names are compared in their normal form, versions by their order."""
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "one.json").write_text(json.dumps(_record(events)))

    ended = _audit(tmp_path, folder)

    assert ended.returncode == code, ended.stderr
    assert ("left-pad 1.5.0: PYSEC-1 pads too far" in ended.stdout) is bool(code)


def test_a_zip_is_read_and_a_withdrawn_advisory_is_left_out(tmp_path: Path) -> None:
    """As osv.dev exports them."""
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.json", json.dumps(_record([{"introduced": "0"}], withdrawn="2026-01-01T00:00:00Z")))

    ended = _audit(tmp_path, path)

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "0 found" in ended.stderr


def test_a_missing_file_is_misuse(tmp_path: Path) -> None:
    """Exit 2: no audit is not a clean audit."""
    assert _audit(tmp_path, tmp_path / "absent").returncode == 2
