"""Each part alone, for an application that has its own factory."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import carboy
from carboy.errors import ConfigurationError, UsageError
from carboy.web import PARTS, create_app, init_app, require, runtime


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Flask]:
    app = Flask("theirs", root_path=str(tmp_path))
    app.config.from_mapping(SECRET_KEY="their-own", DATABASE_URL=f"sqlite:///{tmp_path}/x.db", MINE=1)
    app.config["INSTANCE_PATH"] = str(tmp_path / "instance")

    @app.get("/mine")
    def mine() -> str:
        return "mine"

    @app.get("/guarded")
    @require("orders:read")
    def guarded() -> str:
        return "x"

    yield app
    if "carboy" in app.extensions:
        runtime(app).close()


def test_the_package_offers_both() -> None:
    """Without importing them before they are used."""
    assert carboy.create_app is create_app
    assert carboy.init_app is init_app


@pytest.mark.parametrize("part", PARTS)
def test_a_part_comes_alone(theirs: Flask, tmp_path: Path, part: str) -> None:
    """And what was there goes on working."""
    before = dict(theirs.config)

    held = init_app(theirs, [part], folder=tmp_path)

    assert runtime(theirs) is held
    client = theirs.test_client()
    answer = client.get("/mine")
    assert answer.text == "mine"
    assert ("X-Request-Id" in answer.headers) is (part in {"request_ids", "limits", "metrics"})
    assert (client.get("/nothing").content_type == "application/problem+json") is (part == "problems")
    assert (client.get("/livez").status_code == 200) is (part == "health")
    assert (client.get("/api/jobs").status_code == 401) is (part == "jobs")
    assert (client.get("/docs").status_code == 200) is (part == "docs")
    assert theirs.config["SECRET_KEY"] == before["SECRET_KEY"]
    assert theirs.config["MINE"] == 1
    assert (theirs.config["MAX_CONTENT_LENGTH"] is None) is (part != "limits")


def test_by_default_all_but_the_logs_are_added(theirs: Flask, tmp_path: Path) -> None:
    """Logging stays their own."""
    handlers = list(logging.root.handlers)

    init_app(theirs, folder=tmp_path)

    client = theirs.test_client()
    assert (
        client.get("/livez").status_code == client.get("/readyz").status_code == client.get("/docs").status_code == 200
    )
    assert client.get("/guarded").status_code == 401
    assert client.post("/mine").content_type == "application/problem+json"
    assert theirs.config["SECRET_KEY"] == "their-own"
    assert logging.root.handlers == handlers


def test_their_configuration_is_stronger_than_any_layer(theirs: Flask, tmp_path: Path) -> None:
    """What they said in code counts."""
    (tmp_path / ".env").write_text("MAX_BODY_BYTES=5\nTRUSTED_PROXIES=2\n")
    theirs.config["MAX_BODY_BYTES"] = 7

    held = init_app(theirs, folder=tmp_path)

    assert (held.web.max_body_bytes, held.web.trusted_proxies) == (7, 2)
    assert theirs.config["TRUSTED_PROXIES"] == 2


def test_without_settings_no_layer_is_read(theirs: Flask, tmp_path: Path) -> None:
    """Neither the files nor the environment."""
    (tmp_path / ".env").write_text("MAX_BODY_BYTES=5\n")

    assert init_app(theirs, ["limits"], folder=tmp_path).web.max_body_bytes == 1_048_576


def test_a_guarded_profile_is_guarded_here_too(theirs: Flask, tmp_path: Path) -> None:
    """Whichever part is taken."""
    theirs.config.update(PROFILE="prod", AUTH="off")

    with pytest.raises(ConfigurationError, match="AUTH"):
        init_app(theirs, ["keys"], folder=tmp_path)


def test_an_unknown_part_is_refused(theirs: Flask) -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="request_ids"):
        init_app(theirs, ["request_id"])


def test_parts_are_given_once(theirs: Flask, tmp_path: Path) -> None:
    """All in one call."""
    init_app(theirs, ["health"], folder=tmp_path)

    with pytest.raises(UsageError, match="already"):
        init_app(theirs, ["metrics"], folder=tmp_path)


def test_an_application_without_parts_says_so(theirs: Flask) -> None:
    """With what to call."""
    with pytest.raises(UsageError, match="without Carboy"):
        runtime(theirs)


def test_their_models_and_our_keys_share_a_database(tmp_path: Path, make_module: Any) -> None:
    """One engine, one pool: `db.session` and the keys."""
    from carboy.db import db

    app = create_app("test", folder=tmp_path, modules=make_module(), instance_path="instance")
    try:
        with app.app_context():
            assert db.engine is runtime(app).engine
    finally:
        runtime(app).close()
