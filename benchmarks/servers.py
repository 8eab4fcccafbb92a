"""Which web server: others' p99 beside slow clients, as a ratio to that without them, then throughput and a stop."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.request import urlopen

from tests.lab.load import load_process
from tests.lab.probe_app import write_probe
from tests.lab.slow_clients import KINDS, slow_clients

from carboy.testing import free_port

IS_LONG = True

_PYTHON = (sys.executable, "-m")
_SERVERS = {
    "gunicorn, our worker": (*_PYTHON, "carboy", "serve", "--app", "probe", "--port", "{port}"),
    "gunicorn gthread": (*_PYTHON, "gunicorn", "-b", "127.0.0.1:{port}", "--threads", "32", "probe:app"),
    "granian": (
        *(*_PYTHON, "granian", "--interface", "wsgi", "--port", "{port}", "--blocking-threads", "32"),
        *("--backpressure", "1024", "--no-ws", "probe:app"),
    ),
    "waitress": (
        *(*_PYTHON, "waitress", "--listen", "127.0.0.1:{port}", "--threads", "32", "--connection-limit", "1024"),
        "probe:app",
    ),
    "cheroot": (*_PYTHON, "cheroot", "probe:app", "--bind", "127.0.0.1:{port}", "--threads", "32"),
}
_KINDS = [kind for kind in KINDS if kind != "slow handshakes"]


def run(seconds: int = 2) -> None:
    """Print a row per kind of client and a column per server.

    Args:
        seconds: of each load.
    """
    print(f"| others' p99, times that without | {' | '.join(_SERVERS)} |\n|{' --- |' * (len(_SERVERS) + 1)}")
    for kind in _KINDS:
        _print_row(kind, partial(_ratio, kind=kind, seconds=seconds))
    _print_row("requests/s, connections kept", lambda command: _rate(command, seconds))
    _print_row("requests/s, not kept", lambda command: _rate(command, seconds, "Connection: close"))
    _print_row("p99 in ms of others, 31 of 32 threads busy", lambda command: _busy(command, seconds))
    _print_row("requests cut by SIGTERM", _cut)


def _print_row(name: str, measure: Callable[[tuple[str, ...]], str]) -> None:
    """Measure every server, one after the other, so that what else the machine does meets them alike."""
    print(f"| {name} | {' | '.join(measure(command) for command in _SERVERS.values())} |", flush=True)


def _ratio(command: tuple[str, ...], kind: str, seconds: int) -> str:
    with _serving(command) as (_, port):
        base_ms, base_per_s = _load(port, seconds)
        with slow_clients(port, kind):
            during_ms, during_per_s = _load(port, seconds)
        if during_per_s < base_per_s / 50:
            return "stands still"
        return f"{during_ms / base_ms:.1f}"


def _load(port: int, seconds: int, *headers: str) -> tuple[float, float]:
    """Return p99 in milliseconds, and requests per second."""
    url = f"http://127.0.0.1:{port}"
    more = [word for header in headers for word in ("--header", header)]
    options = ("--get", "/", "--connections", "4", "--seconds", str(seconds), "--timeout", "5", *more)
    with load_process(url, *options) as running:
        summary, _ = running.finish()
    return summary["latencies_ms"]["p99"] or 5000.0, summary["rate_per_s"]


def _rate(command: tuple[str, ...], seconds: int, *headers: str) -> str:
    with _serving(command) as (_, port):
        return f"{_load(port, seconds, *headers)[1]:.0f}"


def _busy(command: tuple[str, ...], seconds: int) -> str:
    with _serving(command) as (_, port):
        url = f"http://127.0.0.1:{port}"
        with load_process(url, "--get", "/sleep/0.2", "--connections", "31", "--seconds", str(seconds + 2)):
            time.sleep(0.5)
            return f"{_load(port, seconds)[0]:.0f}"


def _cut(command: tuple[str, ...]) -> str:
    """Return how many of 20 requests under way a stop cut."""
    with _serving(command) as (process, port):
        return _cut_requests(process, port)


def _cut_requests(process: "subprocess.Popen[bytes]", port: int) -> str:
    def ask() -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/sleep/0.2", timeout=10) as answer:
            return bool(answer.read() == b"slept")
        return False

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask) for _ in range(20)]
        time.sleep(0.1)
        process.terminate()
        return f"{sum(not one.result() for one in asked)} of 20"


def _answers(port: int) -> bool:
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return bool(answer.read() == b"ok")
    return False


@contextmanager
def _serving(command: tuple[str, ...]) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    with tempfile.TemporaryDirectory(prefix="carboy-bench-") as folder:
        write_probe(Path(folder))
        port = free_port()
        words = [word.format(port=port) for word in command]
        environ = {**os.environ, "PYTHONPATH": folder}
        with subprocess.Popen(
            words,
            cwd=folder,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                while not _answers(port):
                    if process.poll() is not None:
                        raise RuntimeError(f"`{' '.join(words)}` ended with {process.returncode}")
                    time.sleep(0.05)
                yield process, port
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
