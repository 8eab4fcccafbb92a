"""`carboy settings`: what each setting is and where it came from."""

from pathlib import Path

from tests.cli.kit import Carboy


def test_show_names_the_layer_of_each_setting_and_those_it_hides(carboy: Carboy, project: Path) -> None:
    """Secrets are masked, also in JSON."""
    (project / "carboy.toml").write_text("[default]\njobs_concurrency = 2\n\n[profile.test]\njobs_concurrency = 3\n")

    shown = carboy("settings", "show", "--json", "-e", "test", JOBS_CONCURRENCY="4", SECRET_KEY="hunter2")

    assert shown.json["JOBS_CONCURRENCY"] == {
        "value": 4,
        "layer": "environment",
        "hides": ["carboy.toml [profile.test]", "carboy.toml [default]"],
        "secret": False,
    }
    assert shown.json["SECRET_KEY"]["value"] == "***"
    assert shown.json["BODY_TIMEOUT_S"]["layer"] == "default"
    assert "hunter2" not in shown.out + shown.err
    table = carboy("settings", "show", JOBS_CONCURRENCY="4").out
    assert "JOBS_CONCURRENCY" in table.split()
    assert "carboy.toml [default]" in table


def test_get_prints_one_value(carboy: Carboy) -> None:
    """In any case of letters; an unknown name is answered with the nearest."""
    assert carboy("settings", "get", "jobs_concurrency").out == "8\n"
    assert carboy("settings", "get", "SECRET_KEY", SECRET_KEY="hunter2").out == "***\n"

    unknown = carboy("settings", "get", "JOBS_CONCURENCY")
    assert (unknown.code, unknown.out) == (2, "")
    assert "JOBS_CONCURRENCY" in unknown.err


def test_check_says_all_that_is_wrong_as_one_document(carboy: Carboy) -> None:
    """Exit 3 with faults, 0 without; a misspelt name is warned about."""
    wrong = carboy("settings", "check", "--json", JOBS_LEASE_S="x", BODY_TIMEOUT_S="y")
    right = carboy("settings", "check", FLASK_DATABSE_URL="sqlite://")

    assert (wrong.code, wrong.json["ok"]) == (3, False)
    assert {fault["setting"] for fault in wrong.json["faults"]} == {"JOBS_LEASE_S", "BODY_TIMEOUT_S"}
    assert (right.code, right.out) == (0, "")
    assert "FLASK_DATABSE_URL" in right.err
    assert "DATABASE_URL" in right.err
