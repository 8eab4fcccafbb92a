"""An application with something on every page of its console."""

import re
from typing import Any

from flask import Flask
from sqlalchemy import insert, select
from tests.console.kit import HTML, MODULES, visit

from carboy.jobs import job, put, row_of
from carboy.jobs.tables import JOBS
from carboy.services.archive.tables import ITEMS
from carboy.services.sms.tables import MESSAGES
from carboy.web import runtime
from carboy.web.console.audit import record_as

XSS = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'`{{7*7}}</td>"
SETTINGS: dict[str, Any] = {
    "modules": MODULES,
    "sms_provider": ("outbox",),
    "sms_templates": {"captcha": {"params": ["code"], "text": "Your code is {code}"}},
    "archive_sources": {
        "shop": {"verify": "hmac", "secrets": ["s" * 32], "header": "X-Sig", "keep_refused": True},
        "crm": {"verify": "none", "id": ["/id"], "events": "/type"},
    },
    "archive_destinations": {"warehouse": {"url": "http://127.0.0.1:9/in", "sources": ["crm"]}},
}


@job("demo.report", attempts=1)
def report(name: str) -> None:
    """Fail, so that there is something to look at."""
    raise RuntimeError(f"the report of {name} cannot be made")


def make_busy_app(make_app: Any, **overrides: Any) -> tuple[Flask, dict[str, str]]:
    """Return an application, and the address of each page by a name for its picture."""
    app: Flask = make_app(**{**SETTINGS, **overrides})
    seed_jobs(app)
    seed_requests(app)
    with runtime(app).engine.connect() as connection:
        event = connection.execute(select(ITEMS.c.id).where(ITEMS.c.source == "crm").limit(1)).scalar()
        message = connection.execute(select(MESSAGES.c.id).limit(1)).scalar()
    paths = {
        "overview": "/", "events": "/console/events", "event": f"/console/events/{event}",
        "refused": "/console/refused", "sources": "/console/sources", "source": "/console/sources/shop",
        "destinations": "/console/destinations", "destination": "/console/destinations/warehouse",
        "delivery": delivery_address(app), "messages": "/console/messages", "message": f"/console/messages/{message}",
        "templates": "/console/templates", "template": "/console/templates/captcha",
        "providers": "/console/providers",
        "statistics": "/console/statistics",
        "jobs": "/console/jobs", "job": f"/console/jobs/{dead_job(app)}",
        "keys": "/console/keys", "settings": "/console/settings", "health": "/console/health",
        "audit": "/console/audit",
    }  # fmt: skip
    return app, paths


def dead_job(app: Flask) -> str:
    return runtime(app).jobs.store.list(state="dead", limit=1)[0].id


def delivery_address(app: Flask) -> str:
    page = visit(app).client.get("/console/destinations/warehouse", headers=HTML).text
    found = re.search(r"/console/destinations/deliveries/\d+", page)
    assert found is not None
    return found[0]


def seed_jobs(app: Flask) -> None:
    """Add a job that is dead, one that waits, and a line of the audit log."""
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


def seed_requests(app: Flask) -> None:
    """Send webhooks, one with markup in all that its sender controls, one that is refused, and a message."""
    from carboy.cli.startup_notes import local_key

    client, headers = app.test_client(), {"Authorization": f"Bearer {local_key(runtime(app))}"}
    for number in range(3):
        body = {"id": f"order-{number}", "type": "order.paid", "lines": [{"sku": "A-1", "count": number}]}
        assert client.post("/api/v1/webhooks/crm", json=body).status_code < 300
    hostile = {"id": XSS, "type": XSS, XSS: [XSS, {XSS: XSS}]}
    sent = client.post("/api/v1/webhooks/crm", json=hostile, headers={"User-Agent": XSS, "X-Note": XSS})
    assert sent.status_code < 300
    assert client.post("/api/v1/webhooks/shop", data=XSS, headers={"X-Sig": XSS}).status_code == 403
    alert = {"id": "587c0159a907346eccb84004", "title": XSS, "created_at": runtime(app).clock.now_ms(), "severity": 1}
    assert client.post("/api/v1/s3/alert", json={"alerts": [alert]}, headers=headers).status_code == 202
    message = {"receivers": "+8613800000000", "template": "captcha", "params": {"code": "1234"}}
    assert client.post("/api/sms", json=message, headers=headers).status_code == 202
    with runtime(app).engine.begin() as connection:
        connection.execute(MESSAGES.update().values(state="failed", words=XSS, code="E<1>", provider="outbox"))
