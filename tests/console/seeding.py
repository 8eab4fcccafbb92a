"""An application with something on every page of its console."""

from typing import Any

from flask import Flask

from carboy.jobs import job
from carboy.web import runtime
from carboy.web.console.audit import record_as

XSS = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'`{{7*7}}</td>"


@job("demo.report", attempts=1)
def report(name: str) -> None:
    """Fail, so that there is something to look at."""
    raise RuntimeError(f"the report of {name} cannot be made")


def make_busy_app(make_app: Any, **overrides: Any) -> tuple[Flask, dict[str, str]]:
    """Return an application, and the address of each page by a name for its picture."""
    app: Flask = make_app(**overrides)
    seed_jobs(app)
    paths = {
        "overview": "/", "jobs": "/console/jobs", "keys": "/console/keys", "settings": "/console/settings",
        "health": "/console/health", "audit": "/console/audit", "job": f"/console/jobs/{first_job(app)}",
    }  # fmt: skip
    return app, paths


def first_job(app: Flask) -> str:
    return runtime(app).jobs.store.list(limit=1)[0].id


def seed_jobs(app: Flask) -> None:
    """Add a job that is dead, one that waits, and lines of the audit log."""
    from sqlalchemy import insert

    from carboy.jobs import put, row_of
    from carboy.jobs.tables import JOBS

    held = runtime(app)
    now_ms = held.clock.now_ms()
    error = f'Traceback (most recent call last):\n  File "reports.py", line 9\nRuntimeError: no {XSS}'
    with held.engine.begin() as connection:
        put(connection, [row_of(report, ("weekly",), now_ms=now_ms, after_s=3600)])
        dead = row_of(report, (XSS, {"a": [1, None, True, {"b": XSS}]}), now_ms=now_ms - 60_000)
        connection.execute(
            insert(JOBS).values({**dead, "state": "dead", "attempts": 5, "error": error, "finished_at": now_ms})
        )
    with app.test_request_context():
        record_as(XSS[:200], None, "demo.action", XSS, XSS)
