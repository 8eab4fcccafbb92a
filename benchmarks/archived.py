"""Alerts archived end to end per second with an upstream of 50 ms, against a plain loop of fetch and two puts."""

import json
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.load import load_process
from tests.lab.threat_stack import threat_stack_process

from benchmarks.gateway import gateway

LATENCY_MS = 50
API_KEY = "test-api-key"
WORKERS = (8, 32, 64)
AMOUNT = 3000


def run() -> None:
    print(f"{AMOUNT} alerts, the Threat Stack API answering in {LATENCY_MS} ms, objects in a folder, each one fsynced.")
    print(f"{'':34}{'archived/s':>12}{'of the limit':>14}{'ratio':>8}")
    with threat_stack_process("--latency-ms", str(LATENCY_MS)) as upstream:
        floor = _loop(upstream.base_url)
        print(f"{'a loop, one after another':34}{floor:12.1f}{'':14}{1:8.1f}", flush=True)
        for workers in WORKERS:
            rate = _archive(upstream.base_url, workers)
            limit = workers * 1000 / LATENCY_MS
            print(
                f"{f'the archive, {workers} jobs at once':34}{rate:12.1f}{rate / limit:14.2f}{rate / floor:8.1f}",
                flush=True,
            )
    print(
        "\nThe limit is what so many requests at once to such an upstream can bring (aim: it, and 20 times the loop)."
    )


def _loop(base_url: str, amount: int = 60) -> float:
    """What the tutorial does for each alert, in its own way: a request of its own, then two writes."""
    with TemporaryDirectory() as made:
        started = time.perf_counter()
        for number in range(amount):
            url = f"{base_url}/alerts/{number:024x}"
            request = urllib.request.Request(url, headers={"Authorization": API_KEY})
            with urllib.request.urlopen(request) as answer:
                detail = answer.read()
            (Path(made) / f"webhook-{number}").write_bytes(json.dumps({"id": number}).encode())
            (Path(made) / f"alert-{number}").write_bytes(detail)
        return amount / (time.perf_counter() - started)


def _archive(base_url: str, workers: int) -> float:
    environ = {
        "THREATSTACK_BASE_URL": base_url,
        "THREATSTACK_API_KEY": API_KEY,
        "THREATSTACK_RATE": "off",
        "JOBS_CONCURRENCY": str(workers),
    }
    with gateway(environ=environ) as server:
        started = time.perf_counter()
        with load_process(
            server.url, "--header", server.header, "--connections", "16", "--amount", str(AMOUNT)
        ) as load:
            load.finish()
        while _waiting(server.url, server.key):
            time.sleep(0.05)
        return AMOUNT / (time.perf_counter() - started)


def _waiting(url: str, key: str) -> bool:
    for state in ("queued", "running"):
        request = urllib.request.Request(
            f"{url}/api/jobs?state={state}&kind=archive.keep&limit=1", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request) as answer:
            if json.load(answer)["jobs"]:
                return True
    return False
