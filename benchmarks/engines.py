"""Accepted and archived per second with 1, 2 and 4 workers on each engine; the points go to `benchmarks.model`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gateway import gateway
from carboy.testing.load import load_process
from carboy.testing.processes import DatabaseServer, postgres

AMOUNT = 2000
WORKERS = (1, 2, 4)
CONNECTIONS = 32


@contextmanager
def embedded() -> Iterator[Mapping[str, str]]:
    """Nothing beside the database."""
    yield {}


ENGINES: dict[str, Callable[[], AbstractContextManager[Mapping[str, str]]]] = {"embedded": embedded}
"""By the engine's name: starts what it needs and gives the settings that lead there."""


def run(*workers: int) -> None:
    print(f"{AMOUNT} alerts into PostgreSQL, {CONNECTIONS} connections, then worked off; objects in a folder, fsynced.")
    print(f"{'engine':12}{'workers':>8}{'accepted/s':>12}{'ratio':>8}{'archived/s':>12}{'ratio':>8}")
    points: list[dict[str, Any]] = []
    for name, start in ENGINES.items():
        first: tuple[float, float] | None = None
        for amount in workers or WORKERS:
            with start() as environ, postgres() as server:
                accepted, archived = _measure(server, {"JOBS_ENGINE": name, **environ}, amount)
            first = first or (accepted, archived)
            points.append({"engine": name, "workers": amount, "accepted_per_s": accepted, "archived_per_s": archived})
            ratios = accepted / first[0], archived / first[1]
            print(f"{name:12}{amount:8}{accepted:12,.0f}{ratios[0]:8.2f}{archived:12,.0f}{ratios[1]:8.2f}", flush=True)
    print(f"\n`python -m benchmarks.model` reads this:\n{json.dumps({'cores': os.cpu_count(), 'points': points})}")


def _measure(server: DatabaseServer, environ: Mapping[str, str], workers: int) -> tuple[float, float]:
    """Accept with as many web processes as workers; then have the workers do it all."""
    with tempfile.TemporaryDirectory(prefix="carboy-bench-") as made:
        folder = Path(made)
        settings = {"DATABASE_URL": server.url(), "AUTH": "off", "RATE_LIMIT": "off", "LOG_LEVEL": "WARNING", **environ}
        surroundings = {**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parent.parent)}
        carboy = [sys.executable, "-m", "carboy"]
        subprocess.run([*carboy, "db", "upgrade"], cwd=folder, env=surroundings, check=True, capture_output=True)
        serving = settings | {"JOBS_CONCURRENCY": "0"}
        with (
            gateway("--workers", str(workers), environ=serving, folder=folder) as web,
            load_process(web.url, "--amount", str(AMOUNT), "--connections", str(CONNECTIONS)) as load,
        ):
            summary, _ = load.finish()
        with ExitStack() as stack:
            started = time.perf_counter()
            for _ in range(workers):
                stack.enter_context(_worker(carboy, folder, surroundings))
            began = 0.0
            while (left := server.execute("SELECT count(*) FROM carboy_jobs WHERE state <> 'done'")[0][0]) > 0:
                if not began and left < AMOUNT:  # they have come up
                    began, done_before = time.perf_counter(), AMOUNT - left
                if time.perf_counter() - started > 600:
                    raise RuntimeError("the workers do not come to an end")
                time.sleep(0.02)
            took_s = time.perf_counter() - (began or started)
        return float(summary["rate_per_s"]), (AMOUNT - (done_before if began else 0)) / took_s


@contextmanager
def _worker(carboy: list[str], folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    with (folder / f"worker-{time.monotonic_ns()}.log").open("wb") as log:
        process = subprocess.Popen([*carboy, "worker"], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
