"""The console: time of its pages as the tables grow, and accepting beside ten open consoles."""

import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.lab.load import load_process

from benchmarks.gateway import gateway

ROUNDS = 15
CONSOLES = 10
SECONDS = 8
FIRST = "/, the first in a process"
WEEK_MS = 7 * 86_400_000
PAGES = (
    "/", "/console/events", "/console/events?source=shop&state=archived", "/console/sources", "/console/destinations",
    "/console/messages", "/console/messages?state=failed", "/console/statistics", "/console/jobs",
)  # fmt: skip


def run(most: int = 1_000_000) -> None:
    print(f"Server time of pages in ms, the median of {ROUNDS}, with 1,000 and {most:,} events and messages of a week.")
    with TemporaryDirectory(prefix="carboy-bench-") as made:
        small, large = _pages(Path(made) / "small", 1000), _pages(Path(made) / "large", most)
    print(f"{'page':44}{'1,000':>10}{f'{most:,}':>12}{'ratio':>8}")
    for page in (*PAGES, FIRST):
        print(f"{page:44}{small[page]:10.1f}{large[page]:12.1f}{large[page] / small[page]:8.2f}", flush=True)
    print("\nAim: at most 50 ms, and flat within 2 times.\n")
    _accept_beside_consoles()


def _pages(folder: Path, count: int) -> dict[str, float]:
    from carboy.web import create_app, runtime

    folder.mkdir()
    app = create_app(
        "test", folder=folder, auth="off", modules=("carboy.services.archive", "carboy.services.sms"),
        instance_path=str(folder), database_url=f"sqlite:///{folder}/bench.db", rate_limit="off",
        archive_sources={"shop": {"verify": "none"}}, archive_destinations={"warehouse": {"url": "http://127.0.0.1:9"}},
        sms_provider=("outbox",), sms_templates={"code": {"params": ["code"], "text": "{code}"}}, log_level="ERROR",
    )  # fmt: skip
    current = runtime(app)
    _fill(current.engine, count, current.clock.now_ms())
    client, found = app.test_client(), {}
    found[FIRST] = _first_view(client)
    for page in PAGES:
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            status = client.get(page, headers={"Accept": "text/html"}).status_code
            times.append((time.perf_counter() - started) * 1000)
            if status != 200:
                raise RuntimeError(f"{page} answered {status}")
        found[page] = statistics.median(times)
    current.close()
    return found


def _first_view(client: Any) -> float:
    """Return what the first overview of a process takes; then wait until the week is counted, as a thread does."""
    started = time.perf_counter()
    client.get("/", headers={"Accept": "text/html"})
    took_ms = (time.perf_counter() - started) * 1000
    while any(thread.name == "console-tally" for thread in threading.enumerate()):
        time.sleep(0.05)
    return took_ms


def _fill(engine: Any, count: int, now_ms: int) -> None:
    """Put events, deliveries and messages of one week into the tables, evenly."""
    from carboy.db import insert_rows
    from carboy.jobs import new_id
    from carboy.services.archive.destinations.tables import DELIVERIES
    from carboy.services.archive.tables import ITEMS
    from carboy.services.sms.tables import MESSAGES

    for start in range(0, count, 5000):
        items: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        deliveries: list[dict[str, Any]] = []
        for number in range(start, min(count, start + 5000)):
            at, name = now_ms - WEEK_MS + number * WEEK_MS // count, f"evt_{number:09}"
            row = new_id(at)
            items.append({
                "id": row, "source": "shop", "item_id": name, "digest": number.to_bytes(32), "sha256": b"\0" * 32,
                "at": at, "received_at": at, "newest": True, "state": "archived", "detail": "off", "object_key": name,
                "content_type": "application/json", "size": 200,
            })  # fmt: skip
            deliveries.append({
                "id": new_id(at), "destination": "warehouse", "item": row, "source": "shop", "event_id": name,
                "state": "delivered", "attempts": 1, "tries": 1, "created_at": at, "finished_at": at,
            })  # fmt: skip
            messages.append({
                "id": new_id(at), "request": row, "receiver_shown": "+49151****4711", "receiver_hash": f"{number:064x}",
                "template": "code", "state": "failed" if number % 100 == 0 else "delivered", "attempts": 1,
                "segments": 1, "provider": "outbox", "created_at": at, "sent_at": at, "settled_at": at,
            })  # fmt: skip
        with engine.begin() as connection:
            for table, rows in ((ITEMS, items), (DELIVERIES, deliveries), (MESSAGES, messages)):
                insert_rows(connection, table, rows)


def _accept_beside_consoles() -> None:
    print(f"Accepting, alone and beside {CONSOLES} open overviews that renew themselves every 5 s; 202s a second.")
    with gateway() as server:
        rates: dict[bool, list[float]] = {False: [], True: []}
        for is_beside in (False, True, False, True, False, True):
            with _consoles(server) if is_beside else _nothing():
                options = ["--target", "/api/v1/s3/alert", "--header", server.header, "--connections", "32"]
                with load_process(server.url, *options, "--seconds", str(SECONDS)) as load:
                    summary, _ = load.finish()
            rates[is_beside].append(float(summary["rate_per_s"]))
    alone, beside = (statistics.median(rates[each]) for each in (False, True))
    print(f"alone {alone:.0f}, beside {beside:.0f}, ratio {beside / alone:.2f} (the median of three; aim: 0.95)")


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _consoles(server: Any) -> Iterator[None]:
    """Open consoles: each asks for the overview, and again every 5 s."""
    is_over = threading.Event()
    name, _, value = server.header.partition(":")
    headers = {"Accept": "text/html", name: value.strip()}

    def watch(delay_s: float) -> None:
        is_over.wait(delay_s)
        while not is_over.is_set():
            with urllib.request.urlopen(urllib.request.Request(f"{server.url}/", headers=headers)) as response:
                response.read()
            is_over.wait(5)

    threads = [threading.Thread(target=watch, args=(number * 5 / CONSOLES,)) for number in range(CONSOLES)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
