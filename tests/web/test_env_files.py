"""Variables of `.env` that are no settings reach the environment, as with `flask run`."""

import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from carboy.cli.project import Project
from carboy.web import create_app, init_app, runtime


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose `.env` has a setting, a variable of its own, and one that the environment has too."""
    (tmp_path / ".env").write_text(
        "ACCESS_KEY=from-the-file\nTAKEN=from-the-file\nMAX_BODY_BYTES=5000\nFLASK_TRUSTED_PROXIES=2\n"
    )
    for name in ("ACCESS_KEY", "MAX_BODY_BYTES", "FLASK_TRUSTED_PROXIES"):
        monkeypatch.setenv(name, "")  # so that it is removed at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("TAKEN", "from-the-environment")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _check(app: Flask) -> None:
    runtime(app).close()
    assert os.environ["ACCESS_KEY"] == "from-the-file"
    assert os.environ["TAKEN"] == "from-the-environment"
    assert "MAX_BODY_BYTES" not in os.environ
    assert "FLASK_TRUSTED_PROXIES" not in os.environ
    entry = runtime(app).settings.entry("MAX_BODY_BYTES")
    assert entry is not None
    assert (entry.value, entry.layer) == (5000, ".env")


def test_of_an_application_of_carboys_own(folder: Path, make_module: Any) -> None:
    """Settings stay where they are read, so that `carboy settings show` names the file."""
    _check(create_app("test", folder=folder, modules=make_module(), instance_path=str(folder)))


def test_of_an_adopted_application(folder: Path) -> None:
    """With the part `settings`; without it the file is not read."""
    app = Flask("theirs")
    app.config.update(SECRET_KEY="x", INSTANCE_PATH=str(folder))
    init_app(app, ["health"], folder=folder)
    assert "ACCESS_KEY" not in os.environ
    runtime(app).close()

    app = Flask("theirs")
    app.config.update(SECRET_KEY="x", INSTANCE_PATH=str(folder))
    init_app(app, ["settings", "health"], folder=folder)
    _check(app)


def test_before_a_command_imports_the_application(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own code finds them while it is imported, from `.env` or from the file of `--env-file`."""
    (folder / "keyed_shop.py").write_text("import os\nfrom flask import Flask\napp = Flask(os.environ['ACCESS_KEY'])\n")
    monkeypatch.syspath_prepend(str(folder))

    assert Project(app="keyed_shop:app").make_app().import_name == "from-the-file"
