"""What a running gateway writes is closed to other users of the machine."""

import os
import stat
from http.client import HTTPConnection
from pathlib import Path

import pytest

from carboy.testing import serve_process

TOML = '[default.archive.sources.it]\nverify = "none"\nid = "/id"\n'


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_no_other_user_can_write_where_the_gateway_keeps_things(tmp_path: Path, umask: int) -> None:
    """Below an instance folder and an archive that were there before, and are open to others."""
    (tmp_path / "carboy.toml").write_text(TOML)
    for name in ("instance", "archive"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    environ = {"FLASK_PROFILE": "local", "AUTH": "off", "ARCHIVE_URL": f"file://{tmp_path}/archive"}
    before = os.umask(umask)
    try:
        with serve_process(tmp_path, environ=environ) as server:
            sent = {"webhooks/it": b'{"id":"a"}', "s3/alert": b'{"alerts":[{"id":"abcd","created_at":1}]}'}
            for path, body in sent.items():
                client = HTTPConnection("127.0.0.1", server.port, timeout=20)
                client.request("POST", f"/api/v1/{path}?wait=10", body, {"Content-Type": "application/json"})
                assert client.getresponse().status == 200
                client.close()
            found = [path for name in ("instance", "archive") for path in (tmp_path / name).rglob("*")]
            modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in found}
    finally:
        os.umask(before)

    assert len(modes) > 20
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o007} == {}
