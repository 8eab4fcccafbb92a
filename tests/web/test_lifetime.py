"""A closed application is freed: a suite of tests makes thousands."""

import gc
import time
import weakref
from pathlib import Path

import pytest
from flask import Flask
from tests.lab.migrated import migrated_url

import carboy
from carboy.web import create_app, runtime


@pytest.mark.slow
@pytest.mark.parametrize("modules", ["", "carboy.services.archive", "carboy.services.sms"])
def test_a_closed_application_is_freed(tmp_path: Path, modules: str) -> None:
    url = migrated_url(tmp_path / "carboy.db", modules)
    app = create_app("local", folder=tmp_path, modules=modules, instance_path=str(tmp_path), database_url=url)
    if engine := runtime(app).jobs.engine:
        engine.start()
    for path in ("/", "/readyz", "/metrics"):
        app.test_client().get(path)
    runtime(app).close()
    made = weakref.ref(app)

    del app, engine

    assert _is_freed(made)


@pytest.mark.slow
@pytest.mark.parametrize("is_used", [True, False])
def test_an_adopted_application_is_freed(tmp_path: Path, is_used: bool) -> None:
    """Also one with a route of its own at a path of Carboy's, which the first request finds."""
    app = Flask("shop", instance_path=str(tmp_path))
    app.add_url_rule("/livez", "alive", lambda: "yes")
    carboy.init_app(app)
    if is_used:
        assert app.test_client().get("/livez").text == "yes"
    runtime(app).close()
    made = weakref.ref(app)

    del app

    assert _is_freed(made)


def _is_freed(made: "weakref.ref[Flask]") -> bool:
    """Return whether an application goes; threads that have ended its checks may have it for a moment."""
    until_s = time.monotonic() + 20
    while made() is not None and time.monotonic() < until_s:
        gc.collect()
        time.sleep(0.02)
    return made() is None
