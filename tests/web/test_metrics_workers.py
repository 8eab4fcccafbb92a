"""Metrics of several workers: every scrape has the sum, whichever worker answers it and whichever has ended."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from carboy.testing import ServeProcess, free_port, serve_process
from carboy.testing.processes import DatabaseServer

MODULE = """
import os
import prometheus_client

sold = prometheus_client.Counter("orders_sold", "Sold.", ["country"])
open_now = prometheus_client.Gauge("orders_open", "Open.", multiprocess_mode="livesum")
made = prometheus_client.Histogram("orders_made_seconds", "Made.")

def register(app):
    open_now.set(1)

    @app.get("/sold/<country>")
    def sell(country):
        sold.labels(country).inc()
        made.observe(0.1)
        return {"pid": os.getpid()}
"""


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        assert answer.status == 200, path
        return answer.read()
    finally:
        connection.close()


def scrape(port: int) -> dict[str, float]:
    """Return the value of each sample by its name and labels; a page that repeats a name is refused."""
    families = list(text_string_to_metric_families(get(port, "/metrics").decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        ",".join([one.name, *(f"{name}={value}" for name, value in sorted(one.labels.items()))]): one.value
        for family in families
        for one in family.samples
    }


def eventually(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(MODULE)
    return tmp_path


@pytest.fixture(params=["gunicorn", "granian"])
def workers(request: Any, project: Path, postgres_server: DatabaseServer) -> Iterator[tuple[ServeProcess, int]]:
    """Three workers on PostgreSQL, and the port of `METRICS_BIND`."""
    port = free_port()
    environ = {
        "MODULES": "shop",
        "FLASK_PROFILE": "test",
        "AUTH": "off",
        "DATABASE_URL": postgres_server.url(database=postgres_server.create_database()),
        "METRICS_BIND": f"127.0.0.1:{port}",
    }
    with serve_process(project, "--server", request.param, "--workers", "3", environ=environ) as server:
        yield server, port


def test_every_scrape_has_the_sum_of_all_workers(workers: tuple[ServeProcess, int]) -> None:
    """At `/metrics` and at `METRICS_BIND`, also two at a time; a user's own counter is there."""
    server, bind = workers
    eventually(lambda: scrape(server.port)["orders_open"] == 3.0)
    with ThreadPoolExecutor(8) as pool:
        pids: list[bytes] = []

        def ask() -> bool:
            pids.extend(pool.map(lambda _: get(server.port, "/sold/de"), range(100)))
            return len(set(pids)) > 1

        eventually(ask)
        scrapes = [*pool.map(lambda _: scrape(server.port), range(12)), *pool.map(lambda _: scrape(bind), range(4))]

    sold = {float(len(pids))}
    assert {one["http_requests_total,method=GET,route=/sold/<country>,status=200"] for one in scrapes} == sold
    assert {one["orders_sold_total,country=de"] for one in scrapes} == sold
    assert {one["orders_made_seconds_count"] for one in scrapes} == sold
    assert {one["orders_open"] for one in scrapes} == {3.0}
    assert all(one["process_resident_memory_bytes"] > 60_000_000 for one in scrapes)
    assert all(one["process_cpu_seconds_total"] > 0 for one in scrapes)
    assert all(time.time() - 140 < one["process_start_time_seconds"] <= time.time() for one in scrapes)
    assert "metrics_not_served" not in server.said


def test_counters_outlive_the_workers_that_counted(project: Path, postgres_server: DatabaseServer) -> None:
    """A worker that is killed is replaced: no counter falls, its gauges go, and `METRICS_BIND` is served on."""
    port = free_port()
    environ = {
        "MODULES": "shop",
        "FLASK_PROFILE": "test",
        "AUTH": "off",
        "DATABASE_URL": postgres_server.url(database=postgres_server.create_database()),
        "METRICS_BIND": f"127.0.0.1:{port}",
    }
    with serve_process(project, "--workers", "3", environ=environ) as server:
        for _ in range(60):
            get(server.port, "/sold/de")
        before = scrape(server.port)
        killed = _workers(server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
            eventually(partial(_is_replaced, server, pid))
        eventually(lambda: scrape(server.port)["orders_open"] == 3.0)

        after = [scrape(server.port) for _ in range(6)]
        assert eventually(lambda: _try(port))["orders_sold_total,country=de"] == 60.0

    counters = [name for name in before if "_total" in name or "_count" in name or "_bucket" in name]
    assert len(counters) > 10
    assert [name for one in after for name in counters if one[name] < before[name]] == []
    assert {one["orders_sold_total,country=de"] for one in after} == {60.0}


STARTING = """
import fcntl, sys, time
from pathlib import Path

lock = fcntl.flock

def lock_later(file, how):
    time.sleep(0.5)
    lock(file, how)

fcntl.flock = lock_later
from prometheus_client import Counter
from carboy.web.metrics.shared_files import SharedFiles

sold = Counter("orders_sold", "Sold.")
for _ in range(2):
    SharedFiles(Path(sys.argv[1]))
sold.inc()
print("counts", flush=True)
sys.stdin.read()
"""


SCRAPING = """
import json, sys, threading, time
from pathlib import Path
from carboy.web.metrics.shared_files import SharedFiles

files = SharedFiles(Path(sys.argv[1]))
print("scrapes", flush=True)
end = threading.Thread(target=sys.stdin.read)
end.start()
while end.is_alive():
    files.collect()
    time.sleep(0.005)
values = [one.value for family in files.collect() for one in family.samples]
print(json.dumps({"pids": files.live_pids(), "values": values}))
"""


def test_a_worker_that_starts_during_a_scrape_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Its numbers would be added up while it counts on in files that are removed."""
    with _program(SCRAPING, tmp_path) as scraper, _program(STARTING, tmp_path) as worker:
        found = json.loads(scraper.communicate(timeout=30)[0])
        worker.communicate(timeout=30)

    assert sorted(found["pids"]) == sorted([scraper.pid, worker.pid])
    assert found["values"] == [1.0]


@contextmanager
def _program(code: str, folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a program until its standard input ends; it has said its first line."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        yield program


def test_one_worker_on_sqlite_counts_too(project: Path) -> None:
    """Killed and replaced, it goes on from where it was; the folder is removed at an orderly end."""
    environ = {"MODULES": "shop", "FLASK_PROFILE": "test", "AUTH": "off"}
    with serve_process(project, environ=environ) as server:
        for _ in range(10):
            get(server.port, "/sold/fr")
        [pid] = _workers(server)
        folder = _folder(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: pid not in _workers(server))
        get(server.port, "/sold/fr")

        assert scrape(server.port)["orders_sold_total,country=fr"] == 11.0
        assert [path.name for path in folder.glob("counter_*.db") if str(pid) in path.name] == []
        server.stop()

    assert not folder.exists()


def _workers(server: ServeProcess) -> set[int]:
    listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return {int(pid) for pid in listed.split()}


def _is_replaced(server: ServeProcess, pid: int) -> bool:
    alive = _workers(server)
    return len(alive) == 3 and pid not in alive


def _folder(pid: int) -> Path:
    """Return the folder in which a worker counts: that of a file which it has open."""
    links = (Path(f"/proc/{pid}/fd") / name for name in os.listdir(f"/proc/{pid}/fd"))
    return next(Path(path).parent for link in links if (path := os.readlink(link)).endswith(f"/{pid}.worker"))


def _try(port: int) -> dict[str, float]:
    try:
        return scrape(port)
    except OSError:
        return {}
