"""`carboy archive destinations` and `erase`, as processes of their own."""

import json
from pathlib import Path

import pytest
from tests.services.archive.test_service_commands import ID, Command, archive, tutorial

from carboy.testing import Answer, LoopbackServer

__all__ = ["archive"]

RANGE = ("--from", "2017-01-01T00:00:00Z", "--until", "2018-01-01T00:00:00Z")


@pytest.mark.server
def test_destinations_are_listed_tested_paused_and_get_a_range_again(archive: Command, tmp_path: Path) -> None:
    """Each word of the contract, with the exit codes of what is foreseen."""
    archive("import", tutorial(tmp_path / "old"), "--json")
    with LoopbackServer(Answer(200, b"thanks")) as receiver:
        table = f'[default.archive.destinations.siem]\nurl = "{receiver.url}"\n'
        (tmp_path / "carboy.toml").write_text(table)

        [listed] = json.loads(archive("destinations", "list", "--json").stdout)
        assert (listed["name"], listed["kind"], listed["state"]) == ("siem", "http", "active")
        assert "thanks" in archive("destinations", "test", "siem").stdout
        assert receiver.requests[0].json()["test"] is True
        archive("destinations", "pause", "siem")
        assert json.loads(archive("destinations", "show", "siem", "--json").stdout)["state"] == "paused"
        archive("destinations", "resume", "siem")

        dry = archive("destinations", "replay", "siem", *RANGE, "--filter", f"_id == '{ID}'", "--dry-run")
        assert dry.stdout == "1 events would be replayed\n"
        assert archive("destinations", "replay", "siem", *RANGE).stdout == "2 events are replayed\n"
        wrong = archive("destinations", "replay", "siem", *RANGE, "--filter", "a =", "--source", "no", code=2).stderr
        assert "/filter" in wrong
        assert "/source" in wrong
        assert "there are: siem" in archive("destinations", "retry", "nope", code=4).stderr

        (tmp_path / "carboy.toml").write_text("")
        assert "drop siem" in archive("destinations", "retry", "siem", code=4).stderr
        assert archive("destinations", "drop", "siem", "--dry-run").stdout == "0 deliveries would be dropped\n"
        assert archive("destinations", "drop", "siem").stdout == "0 deliveries were dropped\n"
        assert json.loads(archive("destinations", "list", "--json").stdout) == []
        assert json.loads(archive("destinations", "show", "siem", "--json").stdout)["state"] == "removed"
        assert "there are: none" in archive("destinations", "drop", "nope", code=4).stderr


@pytest.mark.server
def test_erasing_asks_first_and_says_what_is_held(archive: Command, tmp_path: Path) -> None:
    archive("import", tutorial(tmp_path / "old"), "--json")
    (tmp_path / "carboy.toml").write_text("")
    chosen = ("--match", f"id == '{ID}'", *RANGE)

    assert archive("erase", *chosen, "--dry-run").stdout == "1 events would be erased\n"
    assert "erase 1 events for good?" in archive("erase", *chosen, code=130).stderr
    assert json.loads(archive("erase", *chosen, "--yes", "--json").stdout)["erased"] == 1
    archive("get", ID, code=4)

    (tmp_path / "carboy.toml").write_text("[default.archive.sources.threatstack]\nhold = true\n")
    held = json.loads(archive("erase", "--match", "id != ''", *RANGE, "--yes", "--json", code=1).stdout)
    assert held == {"erased": 0, "found": 0, "held": {"threatstack": 1}}
