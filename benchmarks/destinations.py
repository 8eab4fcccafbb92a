"""Destinations: what three cost to accept, how fast two sinks get 10,000 events beside one that is down, long lists."""

import json
import sqlite3
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.lab.load import load_process

from benchmarks.gateway import Gateway, gateway
from carboy.testing import Answer, LoopbackServer

SECONDS = 5
CONNECTIONS = 32
AMOUNT = 10_000
SINK_S = 0.02
IN_FLIGHT = 8
ROWS = (10_000, 1_000_000)


def run(amount: int = AMOUNT, rows: int = ROWS[1]) -> None:
    _accepting()
    _delivering(amount)
    _listing((ROWS[0], rows))


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
    with (
        LoopbackServer(Answer(delay_s=SINK_S), record=False) as one,
        LoopbackServer(Answer(delay_s=SINK_S), record=False) as two,
        LoopbackServer(Answer(500, delay_s=SINK_S), record=False) as down,
    ):
        tables = _table("one", one.url) + _table("two", two.url) + _table("down", down.url)
        with _Project(tables) as folder, gateway(folder=Path(folder), environ=_environ("8")) as server:
            names = ("one", "two")
            for name in names:
                _call(server, f"/api/v1/destinations/{name}/pause", b"")
            options = ["--connections", "16", "--amount", str(amount)]
            with load_process(server.url, "--target", "/api/v1/s3/alert", "--header", server.header, *options) as load:
                load.finish()
            for name in names:
                _call(server, f"/api/v1/destinations/{name}/resume", b"")
            began, took = time.perf_counter(), {}
            while len(took) < len(names):
                for name in names:
                    if name not in took and _call(server, f"/api/v1/destinations/{name}")["waiting"] == 0:
                        took[name] = time.perf_counter() - began
                time.sleep(0.2)
    print(f"\n{amount} events to sinks of {SINK_S * 1000:.0f} ms, {IN_FLIGHT} in flight each, a third sink down:")
    for name, seconds in took.items():
        print(f"  {name} {seconds:10.1f} s, {seconds / limit_s:.2f} of the limit (aim: 1.2)", flush=True)


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
