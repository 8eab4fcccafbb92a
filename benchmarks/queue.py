"""Jobs in the real engine and in the simulation of it: the same arrivals and times, measured, simulated, and the ratio.

What a job waits for is an upstream, and turns that all have together; processors are nearly idle, so that a difference
is what the simulation leaves out: the database and the threads.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import fmean, median
from typing import Any

from benchmarks.databases import durable_postgres
from benchmarks.model import Line, follow, plan_arrivals

SECONDS = 12.0
SERVICE_S = 0.1
THREADS = 8
LINES = (
    ("half busy", Line(40, 8, SERVICE_S)),
    ("nearly busy", Line(68, 8, SERVICE_S)),
    ("too many", Line(100, 8, SERVICE_S)),
    ("two engines, nearly busy", Line(136, 16, SERVICE_S)),
    ("a provider's limit", Line(40, 8, SERVICE_S, limit_per_s=30)),
)

Times = Sequence[tuple[float, float, float]]
"""When jobs came, began and ended."""


def run() -> None:
    print(f"{SECONDS:g} s each; jobs of {SERVICE_S * 1000:g} ms, {THREADS} threads an engine, rows in PostgreSQL.")
    with durable_postgres() as server:
        empty = [(number / 20, 0.0) for number in range(100)]
        own_s = median(
            ended - came
            for came, _, ended in _measure(server.url(database=server.create_database()), LINES[0][1], empty)
        )
        print(f"An empty job takes {own_s * 1000:.1f} ms; in the simulation each has these too.")
        print(f"{'':14}{'measured':>10}{'simulated':>11}{'ratio':>7}")
        for name, line in LINES:
            jobs = list(plan_arrivals(line, SECONDS))
            measured = _summary(_measure(server.url(database=server.create_database()), line, jobs))
            simulated = _summary(list(follow(line, [(came_s, service_s + own_s) for came_s, service_s in jobs])))
            print(name)
            for what, real, found in zip(("done/s", "seconds", "p95 seconds"), measured, simulated, strict=True):
                print(f"  {what:12}{real:10.3f}{found:11.3f}{found / real:7.2f}", flush=True)
    print("\nSeconds are from the arrival to the end. Aim: within 20 %.")


def _summary(times: Times) -> tuple[float, float, float]:
    took = sorted(ended - came for came, _, ended in times)
    return sum(ended <= SECONDS for *_, ended in times) / SECONDS, fmean(took), took[int(len(took) * 0.95)]


def _measure(url: str, line: Line, jobs: Sequence[tuple[float, float]]) -> Times:
    """Add each job when it is to come, and have engines do them all."""
    from carboy.config import Rate
    from carboy.db import DbSettings, GroupCommit, Shared, engine, upgrade
    from carboy.jobs import Embedded, Job, JobsSettings, Registry, put, row_of
    from carboy.services.archive.pacer import SharedBucket

    database = engine(DbSettings(database_url=url, db_pool_size=20))
    upgrade(database)
    bucket = SharedBucket(Shared(lambda: database), "turns", Rate(round(line.limit_per_s) or 1, 1.0))
    times: list[tuple[float, float, float]] = []

    def work(number: int) -> None:
        came_s, service_s = jobs[number]
        time.sleep(bucket.take(1000.0) if line.limit_per_s else 0.0)
        began_s = time.monotonic() - start_s
        time.sleep(service_s)
        times.append((came_s, began_s, time.monotonic() - start_s))

    def write(connection: Any, rows: Sequence[Any]) -> list[None]:
        put(connection, rows)
        return [None] * len(rows)

    job: Job[[int]] = Job("bench", work)
    writer, settings = GroupCommit(database), JobsSettings(jobs_concurrency=THREADS, jobs_poll_s=0.1)
    with ExitStack() as stack:
        stack.callback(database.dispose)
        engines = [Embedded(GroupCommit(database), Registry([job]), settings) for _ in range(line.workers // THREADS)]
        for one in engines:
            one.start()
            stack.callback(one.stop, 5.0)
        start_s = time.monotonic()
        for number, (came_s, _) in enumerate(jobs):
            time.sleep(max(0.0, start_s + came_s - time.monotonic()))
            writer.run(write, row_of(job, (number,), now_ms=time.time_ns() // 1_000_000))
            for one in engines:
                one.notify()
        while len(times) < len(jobs):
            time.sleep(0.01)
    return times
