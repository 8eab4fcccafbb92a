"""Destinations: what three cost to accept, what a delivery costs, one of three down, accepting while old events go."""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.lab.load import load_process

from benchmarks.gateway import Gateway, gateway

SECONDS = 5
CONNECTIONS = 32
AMOUNT = 10_000
SINK_S = 0.02
IN_FLIGHT = 8
COSTING = 3_000
ROWS = (10_000, 1_000_000)
OLD = 8_000

SINK = """
import socket, sys, threading, time
delay_s, status = float(sys.argv[1]), sys.argv[2]
listener = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listener.getsockname()[1], flush=True)
answer = f"HTTP/1.1 {status} X\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}".encode()

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = connection.makefile("rb")
    with connection:
        while lines.readline():
            length = 0
            while (header := lines.readline().lower()) not in (b"\\r\\n", b""):
                if header.startswith(b"content-length:"):
                    length = int(header[15:])
            lines.read(length)
            time.sleep(delay_s)
            connection.sendall(answer)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def run(amount: int = AMOUNT, rows: int = ROWS[1]) -> None:
    _accepting()
    _costs()
    _delivering(amount)
    _deleting()
    _listing((ROWS[0], rows))


@contextmanager
def _sink(delay_s: float = 0.0, status: int = 200) -> Iterator[str]:
    """Run a receiver in a process of its own, and give its address."""
    command = [sys.executable, "-c", SINK, str(delay_s), str(status)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _costs() -> None:
    """Compare the CPU of a delivery with that of a bare call of requests on a kept session."""
    import requests

    from carboy.services.archive import archive_of
    from carboy.web import create_app, runtime

    alert = {"created_at": 1484653401000, "severity": 1, "title": "x" * 200}
    body = json.dumps({"id": "a", **alert}).encode()
    with _sink() as url, _Project(_table("sink", url)) as folder, requests.Session() as kept:

        def bare() -> float:
            began_s = time.process_time()
            for _ in range(COSTING):
                kept.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=(5, 30))
            return time.process_time() - began_s

        settings: dict[str, Any] = {
            "modules": "carboy.services.archive",
            "instance_path": f"{folder}/instance",
            "log_level": "WARNING",
        }
        app = create_app(
            "local", folder=Path(folder), auth="off", rate_limit="off", archive_url="memory://", **settings
        )
        destinations, client = archive_of(app).destinations, app.test_client()
        destinations.pause("sink")
        for start in range(0, COSTING, 100):
            alerts = [{"id": f"a{number}", **alert} for number in range(start, start + 100)]
            client.post("/api/v1/s3/alert", json={"alerts": alerts})
        engine = runtime(app).jobs.engine
        assert engine is not None
        engine.start()
        while any(job.kind == "archive.keep" for job in runtime(app).jobs.store.list(state="queued", limit=1000)):
            time.sleep(0.1)
        theirs_s = bare()
        began_s = time.process_time()
        destinations.resume("sink")
        while destinations.store.counts("sink")[0]:
            time.sleep(0.2)
        ours_s = time.process_time() - began_s
        theirs_s = min(theirs_s, bare())
        runtime(app).close()
    print(f"\nCPU of {COSTING} deliveries: {ours_s / theirs_s:.2f} of a bare call of requests (aim: 1.5)", flush=True)


def _accepting() -> None:
    print(f"Accepting, {CONNECTIONS} connections, {SECONDS} s, no job runs meanwhile:")
    rates = {}
    for count in (0, 3):
        tables = "".join(_table(f"d{number}", "https://sink.invalid/") for number in range(count))
        with _Project(tables) as folder, gateway(folder=Path(folder), environ=_environ("0")) as server:
            for seconds in (1, SECONDS):
                options = ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
                with load_process(
                    server.url, "--target", "/api/v1/s3/alert", "--header", server.header, *options,
                    "--start-ms", str(1_800_000_000_000 + seconds * 10**9),
                ) as load:  # fmt: skip
                    summary, _ = load.finish()
            rates[count] = float(summary["rate_per_s"])
            print(f"  {count} destinations {rates[count]:10.0f}/s", flush=True)
    print(f"  a part of {rates[3] / rates[0]:.2f} (aim: 0.7)")


def _delivering(amount: int) -> None:
    limit_s = amount * SINK_S / IN_FLIGHT
    with _sink(SINK_S) as one, _sink(SINK_S) as two, _sink(SINK_S, 500) as down:
        tables = _table("one", one) + _table("two", two) + _table("down", down)
        with _Project(tables) as folder, gateway(folder=Path(folder), environ=_environ("8")) as server:
            names = ("one", "two")
            for name in names:
                _call(server, f"/api/v1/destinations/{name}/pause", b"")
            options = ["--connections", "16", "--amount", str(amount)]
            with load_process(server.url, "--target", "/api/v1/s3/alert", "--header", server.header, *options) as load:
                load.finish()
            database = Path(folder) / "instance" / "carboy.db"
            while _count(database, "archive_items WHERE state != 'archived'"):
                time.sleep(0.5)
            for name in names:
                _call(server, f"/api/v1/destinations/{name}/resume", b"")
            before_kib = _memory_kib(server.pid)
            took: dict[str, float] = {}
            began = time.perf_counter()
            while len(took) < len(names):
                for name in names:
                    left = f"archive_deliveries WHERE destination = '{name}' AND state != 'delivered'"
                    if name not in took and not _count(database, f"{left} LIMIT 1"):
                        took[name] = time.perf_counter() - began
                time.sleep(0.2)
            grown = _memory_kib(server.pid) / before_kib
        bare_s = _bare_delivering(amount, (one, two))
    print(f"\n{amount} events to sinks of {SINK_S * 1000:.0f} ms, {IN_FLIGHT} in flight each, a third sink down:")
    print(f"  memory {grown:.2f} of that before")
    for name, seconds in took.items():
        print(f"  {name} {seconds:10.1f} s, {seconds / limit_s:.2f} of the limit (aim: 1.2)", flush=True)
    print(f"  bare {bare_s:9.1f} s, {bare_s / limit_s:.2f}: threads with sessions of requests, to the two good ones")


def _bare_delivering(amount: int, urls: tuple[str, ...]) -> float:
    """Return how long bare calls to the same sinks take, with as many in flight: what this machine allows now."""
    import requests

    def post(url: str) -> None:
        with requests.Session() as kept:
            for _ in range(amount // IN_FLIGHT):
                kept.post(url, data=b"{}", timeout=(5, 30))

    began_s = time.perf_counter()
    with ThreadPoolExecutor(len(urls) * IN_FLIGHT) as pool:
        list(pool.map(post, urls * IN_FLIGHT))
    return time.perf_counter() - began_s


def _memory_kib(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = [Path(f"/proc/{one}/status").read_text().splitlines() for one in (str(pid), *children)]
    return sum(int(line.split()[1]) for each in lines for line in each if line.startswith("VmRSS"))


def _deleting() -> None:
    """Compare the p99 of accepting while retention deletes, and while a person is erased, with that without either."""
    tables = "".join(f'[default.archive.sources.{name}]\nverify = "none"\nid = "/id"\n' for name in ("due", "person"))
    with _Project(tables.replace('id = "/id"\n', 'id = "/id"\nkeep = "1d"\n', 1)) as folder:
        with gateway(folder=Path(folder), environ=_environ("0")):
            pass
        _fill_items(Path(folder), "due", OLD)
        _fill_items(Path(folder), "person", OLD)
        database = Path(folder) / "instance" / "carboy.db"
        found: dict[str, list[float]] = {"retention": [], "erasure": [], "neither": []}
        with gateway(folder=Path(folder), environ=_environ("8")) as server:
            _p99_ms(server)  # warms up
            while _count(database, "archive_items WHERE source = 'due'") > OLD // 20:
                found["retention"].append(_p99_ms(server))
            while _count(database, "archive_items WHERE source = 'due'"):
                time.sleep(0.1)
            found["neither"] += [_p99_ms(server) for _ in range(3)]
            options = ["--match", "who == 'ann'", "--from", "2000-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"]
            command = [sys.executable, "-m", "carboy", "archive", "erase", *options, "--yes"]
            environ = {**os.environ, **_environ("8")}
            with subprocess.Popen(
                command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as erasing:
                while _count(database, "archive_items WHERE source = 'person'") == OLD:
                    time.sleep(0.05)
                while erasing.poll() is None:
                    found["erasure"].append(_p99_ms(server))
            found["neither"] += [_p99_ms(server) for _ in range(3)]
    without_ms = statistics.median(found.pop("neither"))
    print(f"\np99 of accepting, {CONNECTIONS // 4} connections: {without_ms:.1f} ms")
    for name, times in found.items():
        during_ms = statistics.median(times)
        print(
            f"  during {name} {during_ms:8.1f} ms, {during_ms / without_ms:.2f} of that without (aim: 1.3)", flush=True
        )


def _p99_ms(server: Gateway) -> float:
    options = ["--connections", str(CONNECTIONS // 4), "--seconds", "2", "--start-ms", str(time.time_ns() // 1000)]
    with load_process(server.url, "--target", "/api/v1/s3/alert", "--header", server.header, *options) as load:
        summary, _ = load.finish()
    return float(summary["latencies_ms"]["p99"])


def _count(database: Path, rows: str) -> int:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {rows})").fetchone()[0]
        return count


def _fill_items(folder: Path, source: str, amount: int) -> None:
    """Archive events that are three days old, in the folder and in the index."""
    at_ms = time.time_ns() // 1_000_000 - 3 * 86_400_000
    place = f"webhooks/{source}/2026/01/01/00/00"
    (folder / "instance" / "archive" / place).mkdir(parents=True, exist_ok=True)
    body = b'{"who": "ann"}'
    for number in range(amount):
        (folder / "instance" / "archive" / place / f"e{number}").write_bytes(body)
    columns = (
        "id, source, item_id, digest, sha256, at, received_at, newest, state, detail, object_key, content_type, size"
    )
    with closing(sqlite3.connect(folder / "instance" / "carboy.db")) as connection, connection:
        connection.executemany(
            f"INSERT INTO archive_items ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, 1, 'archived', 'off', ?, ?, ?)",
            (
                (
                    (at_ms << 22) + 2 * number + (source == "due"),
                    source,
                    f"e{number}",
                    bytes(32),
                    bytes(32),
                    at_ms,
                    at_ms,
                    f"{place}/e{number}",
                    "application/json",
                    len(body),
                )
                for number in range(amount)
            ),
        )


def _listing(amounts: tuple[int, int]) -> None:
    times = []
    for amount in amounts:
        with _Project(_table("siem", "https://sink.invalid/")) as folder:
            with gateway(folder=Path(folder), environ=_environ("0")):
                pass
            _fill(Path(folder) / "instance" / "carboy.db", amount)
            with gateway(folder=Path(folder), environ=_environ("0")) as server:
                path = "/api/v1/destinations/siem/deliveries"
                times.append(min(_timed(server, path) for _ in range(20)))
        print(
            f"{'' if len(times) > 1 else chr(10)}A list at {amount} deliveries: {times[-1] * 1000:.1f} ms", flush=True
        )
    print(f"  {times[1] / times[0]:.2f} times (aim: 2)")


def _fill(path: Path, amount: int) -> None:
    base = 1_790_000_000_000 << 22
    with sqlite3.connect(path) as database:
        database.executemany(
            "INSERT INTO archive_deliveries"
            " VALUES (?, 'siem', ?, 'threatstack', ?, 'alert', 'delivered', 1, 1, NULL, ?, ?)",
            ((base + n, n, f"e{n}", 1_790_000_000_000, 1_790_000_000_000) for n in range(amount)),
        )


def _timed(server: Gateway, path: str) -> float:
    started = time.perf_counter()
    _call(server, path)
    return time.perf_counter() - started


def _call(server: Gateway, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(server.url + path, body, {"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _table(name: str, url: str) -> str:
    return f'[default.archive.destinations.{name}]\nurl = "{url}"\nmax_in_flight = {IN_FLIGHT}\n'


class _Project(tempfile.TemporaryDirectory[str]):
    """A folder with a `carboy.toml`."""

    def __init__(self, toml: str) -> None:
        super().__init__(prefix="carboy-bench-")
        (Path(self.name) / "carboy.toml").write_text(toml)


def _environ(concurrency: str) -> dict[str, str]:
    return {"FLASK_PROFILE": "local", "MODULES": "carboy.services.archive", "JOBS_CONCURRENCY": concurrency}
