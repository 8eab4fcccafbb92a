"""A week of a busy service, to look at: `python -m tests.console.demo FOLDER` keeps a picture of every page there.

`python -m tests.console.demo` alone serves it, and prints an address that logs in.
"""

import random
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from flask import Flask
from sqlalchemy import Connection, insert, update
from tests.console.kit import MODULES

from carboy.jobs import job, new_id, row_of
from carboy.jobs.tables import JOBS
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES, DESTINATIONS
from carboy.services.archive.tables import ITEMS, REFUSED
from carboy.services.sms.tables import ATTEMPTS as SMS_ATTEMPTS
from carboy.services.sms.tables import DAILY, MESSAGES, REQUESTS
from carboy.web import create_app, runtime
from carboy.web.console.audit import record_as

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SETTINGS: dict[str, Any] = {
    "modules": MODULES,
    "log_format": "json",
    "rate_limit": "off",
    "sms_provider": ("outbox",),
    "sms_prices": {"outbox": {"DE": 0.0745, "CN": 0.045, "default": 0.06}},
    "sms_templates": {
        "login-code": {"params": ["code"], "text": "{code} is your code for Example. It is valid for five minutes."},
        "order-shipped": {"params": ["order", "day"], "text": "Your order {order} arrives on {day}. Example GmbH"},
        "appointment": {"params": ["name", "time"], "text": "您好 {name}，您的预约时间为 {time}。"},
    },
    "archive_sources": {
        "github": {"preset": "github", "secrets": ["a-secret-of-the-demonstration-1"]},
        "shopify": {"preset": "shopify", "secrets": ["a-secret-of-the-demonstration-2"]},
        "stripe": {"preset": "stripe", "secrets": [f"a-secret-of-the-demonstration-{one}" for one in (3, 4)]},
    },
    "archive_destinations": {
        "siem": {"url": "https://siem.example.com/hooks", "sources": ["github", "threatstack"]},
        "warehouse": {"url": "https://warehouse.example.com/in", "sources": ["shopify", "stripe"], "rate": "50/s"},
    },
}
TYPES = {
    "github": ("push", "pull_request", "workflow_run", "issues"),
    "shopify": ("orders/create", "orders/paid", "products/update"),
    "stripe": ("invoice.paid", "charge.succeeded", "customer.subscription.updated"),
    "threatstack": ("alert",),
}
ERROR = """Traceback (most recent call last):
  File "/srv/app/jobs.py", line 41, in report
    rows = ledger.rows(month)
  File "/srv/app/ledger.py", line 18, in rows
    raise LedgerClosed(month)
LedgerClosed: the ledger of 2026-10 is closed"""


@job("demo.monthly_report")
def report(month: str, options: dict[str, Any]) -> None:
    """Stand for a job of a service of one's own."""


def make_demo(folder: Path) -> Flask:
    """Return an application with a week of events, messages and jobs in its database."""
    app = create_app(
        "local", folder=folder, instance_path=str(folder), database_url=f"sqlite:///{folder}/demo.db",
        archive_url=f"file://{folder}/archive", sms_outbox=str(folder / "outbox.ndjson"), **SETTINGS,
    )  # fmt: skip
    held, chance = runtime(app), random.Random(7)
    now_ms = held.clock.now_ms()
    with held.engine.begin() as connection:
        _add_events(connection, chance, now_ms)
        _add_messages(connection, chance, now_ms)
        _add_jobs(connection, now_ms)
        _add_refusals(connection, chance, now_ms)
    for name in ("ada.lovelace", "grace.hopper", "build-server"):
        held.keys.store.create(name, ("archive:read", "destinations:read") if name != "build-server" else ("sms:send",))
    with app.test_request_context():
        for who, action, target, detail in (
            ("ada.lovelace@example.com", "destination.pause", "warehouse", ""),
            ("ada.lovelace@example.com", "destination.replay", "siem", "2026-11-01 to 2026-11-02: 1204 events"),
            ("grace.hopper@example.com", "message.read_number", "7532960131295559506", ""),
        ):
            record_as(who, None, action, target, detail)
    return app


def _times(chance: random.Random, now_ms: int, count: int) -> Iterator[int]:
    """Yield times of the last week, more of them by day than by night, and one of them a moment ago."""
    yield now_ms - 9_000
    made = 1
    while made < count:
        at = now_ms - chance.randrange(7 * DAY_MS)
        hour = at // HOUR_MS % 24
        if chance.random() < (0.25 if hour < 6 else 1.0 if 8 <= hour < 19 else 0.55):
            made += 1
            yield at


def _add_events(connection: Connection, chance: random.Random, now_ms: int) -> None:
    items, deliveries, attempts = [], [], []
    for at in sorted(_times(chance, now_ms, 9000)):
        source = chance.choices(tuple(TYPES), (5, 8, 6, 1))[0]
        kind, number = chance.choice(TYPES[source]), chance.randrange(10**9)
        body = orjson.dumps(
            {"id": f"evt_{number:09}", "type": kind, "amount": chance.randrange(500, 90_000), "currency": "EUR",
             "customer": {"id": f"cus_{number % 9973}", "country": "DE"},
             "lines": [{"sku": "A-1", "count": 2}, {"sku": "B-7", "count": 1}]}
        )  # fmt: skip
        digest, row, is_old = sha256(body).digest(), new_id(at), at < now_ms - 60_000
        items.append({
            "id": row, "source": source, "item_id": f"evt_{number:09}", "digest": digest, "sha256": digest, "at": at,
            "received_at": at + 40, "version": 0, "newest": True, "state": "archived" if is_old else "accepted",
            "detail": "off", "object_key": f"webhooks/{source}/2026/11/29/10/15/evt_{number:09}",
            "content_type": "application/json", "headers": orjson.dumps({"user-agent": "example-hooks/1.4"}),
            "body": body, "severity": "1" if source == "threatstack" else None, "event_type": kind, "size": len(body),
        })  # fmt: skip
        is_shop = source in {"shopify", "stripe"}
        is_down = is_shop and at > now_ms - 3 * HOUR_MS and chance.random() < 0.3
        delivery = new_id(at)
        state = "delivered" if not is_down else "failed" if chance.random() < 0.3 else "waiting"
        deliveries.append({
            "id": delivery, "destination": "warehouse" if is_shop else "siem", "item": row, "source": source,
            "event_id": f"evt_{number:09}", "event_type": kind, "state": state, "attempts": 1, "tries": 1,
            "next_at": now_ms + 90_000 if state == "waiting" else None, "created_at": at,
            "finished_at": None if state == "waiting" else at + 400,
        })  # fmt: skip
        attempts.append({
            "delivery": delivery, "number": 1, "destination": "warehouse" if is_shop else "siem", "at": at + 200,
            "duration_ms": chance.randrange(20, 180) if not is_down else 5000, "status": 503 if is_down else 200,
            "error": "status 503: the service is being updated" if is_down else None,
            "response": b'{"error": "the service is being updated"}' if is_down else b"ok",
        })  # fmt: skip
    connection.execute(insert(ITEMS), items)
    connection.execute(insert(DELIVERIES), deliveries)
    connection.execute(insert(ATTEMPTS), attempts)
    connection.execute(insert(DESTINATIONS), {"name": "warehouse", "failures": 3, "failing_since": now_ms - 7_200_000})


def _add_messages(connection: Connection, chance: random.Random, now_ms: int) -> None:
    requests, messages, attempts = [], [], []
    days: dict[tuple[Any, ...], tuple[int, int]] = {}
    for at in sorted(_times(chance, now_ms, 4000)):
        template = chance.choices(("login-code", "order-shipped", "appointment"), (7, 4, 1))[0]
        country, shown = chance.choice((("DE", "+49151****4711"), ("CN", "+86138****0000"), ("GB", "+44770****0123")))
        state = chance.choices(("delivered", "sent", "undelivered", "failed", "queued"), (92, 4, 2, 1, 0.2))[0]
        request, row = new_id(at), new_id(at)
        requests.append({
            "id": request, "key_id": "", "digest": b"0" * 32, "template": template, "expires_at": at + DAY_MS,
            "params": orjson.dumps({"code": "482913"}) if state in {"failed", "queued"} else None, "created_at": at,
        })  # fmt: skip
        is_out = state in {"delivered", "sent", "undelivered"}
        said = {"undelivered": ("30003", "Unreachable destination handset"),
                "failed": ("30007", "Message filtered by the carrier")}.get(state, (None, None))  # fmt: skip
        messages.append({
            "id": row, "request": request, "receiver": "+4915112344711", "receiver_shown": shown,
            "receiver_hash": sha256(shown.encode()).hexdigest(), "template": template, "state": state, "attempts": 1,
            "segments": 1 + (template == "order-shipped"), "provider": None if state == "queued" else "outbox",
            "provider_id": f"SM{row:x}"[:24] if is_out else None, "code": said[0], "words": said[1], "created_at": at,
            "sent_at": at + 300 if is_out else None, "settled_at": at + 4000 if state != "queued" else None,
            "country": country, "reference": f"order-{request % 90000}" if template == "order-shipped" else None,
        })  # fmt: skip
        if state == "failed":
            attempts.append({
                "id": new_id(at), "message": row, "provider": "outbox", "kind": "refused", "code": "30007",
                "words": "Message filtered by the carrier", "at": at + 200,
            })  # fmt: skip
        if state != "queued":
            key = (at // DAY_MS, template, "outbox", country, state, 88 if state == "delivered" else 0)
            count, parts = days.get(key, (0, 0))
            days[key] = count + 1, parts + 1 + (template == "order-shipped")
    names = ("day", "template", "provider", "country", "state", "bucket")
    connection.execute(insert(REQUESTS), requests)
    connection.execute(insert(MESSAGES), messages)
    connection.execute(insert(SMS_ATTEMPTS), attempts)
    rows = [
        dict(zip(names, key, strict=True)) | {"shard": 0, "messages": one[0], "parts": one[1]}
        for key, one in days.items()
    ]
    connection.execute(insert(DAILY), rows)


def _add_jobs(connection: Connection, now_ms: int) -> None:
    for age_ms, state in ((40 * HOUR_MS, "dead"), (5 * HOUR_MS, "dead"), (120_000, "queued")):
        row = row_of(report, ("2026-10", {"format": "csv", "sections": ["revenue", "refunds"]}), now_ms=now_ms - age_ms)
        connection.execute(insert(JOBS), row)
        if state == "dead":
            ended = {"state": "dead", "attempts": 5, "error": ERROR, "finished_at": now_ms - age_ms + 60_000}
            connection.execute(update(JOBS).where(JOBS.c.id == row["id"]).values(ended))


def _add_refusals(connection: Connection, chance: random.Random, now_ms: int) -> None:
    reasons = (
        ("signature", "no secret of the source matches", 403), ("time", "it was signed 412 s ago", 403),
        ("token", "the path token is not one of the source's", 403), ("too_often", "too many requests", 429),
    )  # fmt: skip
    for age_s in sorted(chance.randrange(200_000) for _ in range(30)):
        reason, detail, status = chance.choice(reasons)
        at = now_ms - age_s * 1000
        connection.execute(insert(REFUSED), {
            "id": new_id(at), "at": at, "source": chance.choice(("github", "stripe")), "reason": reason,
            "detail": detail, "status": status, "address": f"203.0.113.{chance.randrange(254)}",
            "size": chance.randrange(200, 9000), "request_id": f"{chance.randrange(16**16):016x}",
        })  # fmt: skip


def _serve(folder: Path) -> None:
    from werkzeug.serving import make_server

    from carboy.cli.startup_notes import local_key
    from carboy.web.console.sessions import make_login

    app = make_demo(folder)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    path = make_login(runtime(app), local_key(runtime(app)))
    sys.stderr.write(f"http://127.0.0.1:{server.server_port}{path}\n")
    server.serve_forever()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        if len(sys.argv) > 1:
            from tests.console.pictures import take_pictures

            take_pictures(make_demo(Path(made)), Path(sys.argv[1]))
        else:
            _serve(Path(made))
