"""The date-range query for the same 100 results, as the archive grows."""

import json
import os
import statistics
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gateway import gateway

SIZES = (10_000, 100_000, 1_000_000)
ROUNDS = 40


def run() -> None:
    print("100 alerts of one hour, out of an archive of so many; the median of 40 requests.")
    print(f"{'archived alerts':>16}{'ms':>10}{'ratio':>8}{'ms, by severity':>18}{'ratio':>8}")
    with TemporaryDirectory(prefix="carboy-bench-") as made:
        folder = Path(made)
        first: tuple[float, float] | None = None
        filled = 0
        for size in SIZES:
            _fill(folder, filled, size)
            filled = size
            plain, filtered = _measure(folder)
            first = first or (plain, filtered)
            print(
                f"{size:16,}{plain:10.1f}{plain / first[0]:8.2f}{filtered:18.1f}{filtered / first[1]:8.2f}", flush=True
            )
    print("\nAim: flat within 2 times.")


def _fill(folder: Path, start: int, end: int) -> None:
    """Put archived alerts into the index, 100 an hour, and the objects of the hour that is asked for."""
    from carboy.config import load, read_sources
    from carboy.db import DbSettings, engine, insert_rows, upgrade
    from carboy.services.archive.tables import ITEMS

    made = engine(load([DbSettings], read_sources(folder=folder, environ={})).part(DbSettings))
    upgrade(made)
    for at in range(start, end, 5000):
        rows = []
        for number in range(at, at + 5000):
            at_ms = 1_500_000_000_000 + number * 36_000
            alert_id, key = f"{number:024x}", f"webhooks/x/{number}"
            rows.append(
                {
                    "id": number + 1,
                    "source": "threatstack",
                    "item_id": alert_id,
                    "digest": os.urandom(32),
                    "sha256": b"\0" * 32,
                    "at": at_ms,
                    "received_at": at_ms,
                    "newest": True,
                    "state": "archived",
                    "detail": "off",
                    "object_key": key,
                    "content_type": "application/json",
                    "severity": str(1 + number % 3),
                    "organization_id": "org",
                    "origin": "Host",
                }
            )
            if number < 100 + 300:
                path = folder / "instance" / "archive" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"id": alert_id, "created_at": at_ms, "title": "x" * 200}))
        with made.begin() as connection:
            insert_rows(connection, ITEMS, rows)
    made.dispose()


def _measure(folder: Path) -> tuple[float, float]:
    start, hours = "2017-07-14T02:40:00Z", {"": "2017-07-14T03:40:00Z", "&severity=1": "2017-07-14T05:40:00Z"}
    times = []
    with gateway(folder=folder, environ={"JOBS_CONCURRENCY": "0"}) as server:
        for filtered, end in hours.items():
            url = f"{server.url}/api/v1/s3/alert?start={start}&end={end}&limit=100{filtered}"
            took = []
            for _ in range(ROUNDS):
                request = urllib.request.Request(url, headers={"Authorization": f"Bearer {server.key}"})
                began = time.perf_counter()
                with urllib.request.urlopen(request) as answer:
                    found = json.load(answer)
                took.append(time.perf_counter() - began)
            assert len(found["alerts"]) == 100, len(found["alerts"])
            times.append(statistics.median(took) * 1000)
    return times[0], times[1]
