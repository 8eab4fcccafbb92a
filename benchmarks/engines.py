"""Accepted and archived per second with 1, 2 and 4 workers on each engine, and what the model says to these points."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.load import load_process

from benchmarks.databases import durable_postgres
from benchmarks.gateway import gateway, running
from benchmarks.model import RATES, report
from benchmarks.tables import capacity
from carboy.testing.processes import DatabaseServer, moto_server, redis

WORKERS = (1, 2, 4)
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Engine:
    """How an engine is run.

    Attributes:
        start: starts what it needs and gives the variables that lead there.
        worker: the command of one, given those variables.
        amount: of alerts.
    """

    start: Callable[[], AbstractContextManager[dict[str, str]]]
    worker: Callable[[Mapping[str, str]], list[str]] = lambda _: [sys.executable, "-m", "carboy", "worker"]
    amount: int = 1200


@contextmanager
def _embedded() -> Iterator[dict[str, str]]:
    yield {"JOBS_ENGINE": "embedded"}


@contextmanager
def _celery() -> Iterator[dict[str, str]]:
    with redis() as server:
        yield {"JOBS_ENGINE": "celery", "JOBS_BROKER_URL": server.url, "JOBS_CONCURRENCY": "2"}


@contextmanager
def _sqs() -> Iterator[dict[str, str]]:
    with moto_server() as server:
        url = server.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
        yield {"JOBS_ENGINE": "sqs", "JOBS_BROKER_URL": url, **server.environment}


ENGINES = {
    "embedded": Engine(_embedded),
    "celery": Engine(_celery, amount=800),
    "sqs": Engine(
        _sqs, lambda environ: [sys.executable, "-m", "benchmarks.function", environ["JOBS_BROKER_URL"]], amount=300
    ),
}


def run(*workers: int) -> None:
    print(
        f"Alerts into PostgreSQL, {CONNECTIONS} connections, a web process for each worker; then they are worked off."
    )
    print(
        "Objects in a folder, fsynced. A worker of `embedded` has 8 threads, of Celery (on Redis) 2 processes; of `sqs`"
    )
    print("it is a function; its queue is moto's server, in Python, on this machine: that is the limit there.")
    print(f"{'engine':12}{'workers':>8}{'accepted/s':>12}{'ratio':>8}{'archived/s':>12}{'ratio':>8}")
    points: list[dict[str, Any]] = []
    for name, engine in ENGINES.items():
        first: tuple[float, float] | None = None
        for amount in workers or WORKERS:
            with engine.start() as environ, durable_postgres() as server:
                accepted, archived = _measure(server, engine, environ, amount)
            first = first or (accepted, archived)
            points.append({"engine": name, "workers": amount, "accepted_per_s": accepted, "archived_per_s": archived})
            ratios = accepted / first[0], archived / first[1]
            print(f"{name:12}{amount:8}{accepted:12,.0f}{ratios[0]:8.2f}{archived:12,.0f}{ratios[1]:8.2f}", flush=True)
    with durable_postgres() as server:
        limits = dict(zip(RATES, capacity(server.url()), strict=True))
    measured = {"cores": os.cpu_count(), "points": points, "database": limits}
    print("\n" + "\n".join(report(measured)))
    print(f"\n`python -m benchmarks.model` reads this:\n{json.dumps(measured)}")


def _measure(server: DatabaseServer, engine: Engine, environ: Mapping[str, str], workers: int) -> tuple[float, float]:
    """Accept with as many web processes as workers; then have the workers do it all."""
    with tempfile.TemporaryDirectory(prefix="carboy-bench-") as made:
        folder = Path(made)
        settings = {"DATABASE_URL": server.url(), "AUTH": "off", "RATE_LIMIT": "off", "LOG_LEVEL": "WARNING", **environ}
        surroundings = {**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parent.parent)}
        subprocess.run(
            [sys.executable, "-m", "carboy", "db", "upgrade"],
            cwd=folder,
            env=surroundings,
            check=True,
            capture_output=True,
        )
        serving = settings | {"JOBS_CONCURRENCY": "0"}
        with (
            gateway("--workers", str(workers), environ=serving, folder=folder) as web,
            load_process(web.url, "--amount", str(engine.amount), "--connections", str(CONNECTIONS)) as load,
        ):
            summary, _ = load.finish()
        with ExitStack() as stack:
            for number in range(workers):
                command, log = engine.worker(environ), folder / f"worker-{number}.log"
                stack.enter_context(running(command, folder, surroundings, log))
            return float(summary["rate_per_s"]), _rate(server, engine.amount // 2)


_LEFT = "SELECT count(*) FROM carboy_jobs WHERE state <> 'done' AND kind LIKE 'archive.%'"  # others are due later


def _rate(server: DatabaseServer, amount: int) -> float:
    """Return how many a second are done of the last so many; while the others were done, all workers came up."""
    give_up_at_s = time.perf_counter() + 120
    began_s, done = 0.0, 0
    while (left := server.execute(_LEFT)[0][0]) > 0:
        if not began_s and left <= amount:
            began_s, done = time.perf_counter(), left
        if time.perf_counter() > give_up_at_s:
            raise RuntimeError(f"the workers do not come to an end: {left} jobs are left")
        time.sleep(0.02)
    return float(done / (time.perf_counter() - began_s))
