"""Files that stay whole."""

import os
import threading
from pathlib import Path

import pytest
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted import load_stage
from carboy.config.encrypted.file import locked, write_private, write_whole
from carboy.errors import ConfigurationError


def test_a_file_keeps_its_mode_and_what_links_to_it(tmp_path: Path) -> None:
    """A symbolic link stays one."""
    real, link = tmp_path / "real.yml", tmp_path / "config.yml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)

    write_whole(link, b"new", b"old")

    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_what_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """No operator's work is lost."""
    path = tmp_path / "config.yml"
    path.write_text("theirs")

    for before in (b"mine", None):
        with pytest.raises(ConfigurationError, match="changed meanwhile"):
            write_whole(path, b"new", before)
    assert path.read_text() == "theirs"


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """Fleece left 0 bytes."""
    path = tmp_path / "config.yml"
    path.write_text("old")

    with pytest.raises(TypeError):
        write_whole(path, "not bytes", b"old")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.yml"]


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    """The second waits; of two that read the same version, one gets an error."""
    path = tmp_path / "config.yml"
    path.write_text("0")
    outcomes = []

    def write(number: int) -> None:
        try:
            write_whole(path, str(number).encode(), b"0")
            outcomes.append("written")
        except ConfigurationError:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["refused"] * 7 + ["written"]


def test_a_lock_that_is_taken_is_reported(tmp_path: Path) -> None:
    """Rather than waited for without end."""
    with (
        locked(tmp_path / "config.yml"),
        pytest.raises(ConfigurationError, match="another process"),
        locked(tmp_path / "config.yml", wait_s=0),
    ):
        pass


def test_what_is_private_is_so(tmp_path: Path) -> None:
    """The umask does not matter."""
    write_private(tmp_path / "a" / "b.json", b"x")

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b.json").stat().st_mode & 0o777 == 0o600


def test_a_service_loads_its_stage(tmp_path: Path, desk: Desk) -> None:
    """Plain values, by one call of the key service."""
    path = tmp_path / "config.yml"
    path.write_text(desk.close(OPEN))
    desk.keys.calls.clear()

    values = load_stage(path, "prod", desk.keys, allowed_keys=["123456789012"])

    assert values["password"] == "my-prod-password"
    assert desk.keys.calls == {"decrypt": 1}


def test_a_service_gets_what_is_wrong(tmp_path: Path, desk: Desk) -> None:
    """The file, or the stage."""
    with pytest.raises(ConfigurationError, match="no such file"):
        load_stage(tmp_path / "none.yml", "prod", desk.keys)
    path = tmp_path / "config.yml"
    path.write_text(desk.close(OPEN.replace("/.*/", "/dev.*/")))
    with pytest.raises(ConfigurationError, match="no stage `test`"):
        load_stage(path, "test", desk.keys)
