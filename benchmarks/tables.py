"""How accepting and working off change with the finished rows that lie in the tables, on each database that is there.

`python -m benchmarks tables 10000 1000000 10000000`; without numbers the first two.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

from carboy.testing.processes import mariadb, postgres
from carboy.testing.processes.running import MissingBinary

IS_LONG = True
COUNTS = (10_000, 1_000_000)
AMOUNT = 2000
ROUNDS = 4
THREADS = 16
_NUMBERS = count(1)


def run(*counts: int) -> None:
    print(f"The best of {ROUNDS} rounds of {AMOUNT} alerts, {THREADS} threads, one process, no HTTP and no objects.")
    print("Rounds take turns with the tables, so that what else the machine does harms all alike.")
    print(
        f"{'database':12}{'finished rows':>14}{'accepted/s':>12}{'ratio':>8}{'done/s':>10}{'ratio':>8}{'pruned/s':>10}"
    )
    for name, start in (("sqlite", _sqlite), ("mariadb", _server(mariadb)), ("postgres", _server(postgres))):
        try:
            with start(len(counts or COUNTS)) as engines:
                _run(name, engines, sorted(counts or COUNTS))
        except MissingBinary as error:
            print(f"{name:12} {error}")
    print("\nAim: flat within 1.3 times.")


def _run(name: str, engines: Sequence[Any], counts: Sequence[int]) -> None:
    from carboy.db import GroupCommit, upgrade

    writers = []
    for engine, size in zip(engines, counts, strict=True):
        upgrade(engine)
        _fill(engine, 0, size)
        writers.append(GroupCommit(engine))
    rounds = [[(_accept(writer), _work_off(writer)) for writer in writers] for _ in range(ROUNDS)]
    accepted, done = ([max(one[at][part] for one in rounds) for at in range(len(counts))] for part in (0, 1))
    for at, size in enumerate(counts):
        ratios = accepted[0] / accepted[at], done[0] / done[at]
        pruned = _prune(writers[at])
        print(
            f"{name:12}{size:14,}{accepted[at]:12,.0f}{ratios[0]:8.2f}{done[at]:10,.0f}{ratios[1]:8.2f}{pruned:10,.0f}",
            flush=True,
        )


def _fill(engine: Any, start: int, end: int) -> None:
    """Put finished jobs and archived items into the tables, an hour old and younger than what is kept."""
    from carboy.db import insert_rows
    from carboy.jobs.tables import JOBS
    from carboy.services.archive.tables import ITEMS

    old_ms = time.time_ns() // 1_000_000 - 3_600_000
    for at in range(start, end, 5000):
        numbers = range(at, min(at + 5000, end))
        with engine.begin() as connection:
            insert_rows(connection, JOBS, [_done_job(number, old_ms) for number in numbers])
            insert_rows(connection, ITEMS, [_archived_item(number, old_ms) for number in numbers])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in (JOBS.name, ITEMS.name):
            statement = {"mysql": f"ANALYZE TABLE {table}", "postgresql": f"VACUUM ANALYZE {table}"}
            if engine.dialect.name in statement:
                connection.exec_driver_sql(statement[engine.dialect.name])


def _done_job(number: int, old_ms: int) -> dict[str, Any]:
    at_ms = old_ms + number % 1000
    return {
        "id": number + 1, "kind": "bench", "key": None, "args": b"[1]", "state": "done", "priority": 5, "attempts": 1,
        "run_at": at_ms, "request_id": None, "created_at": at_ms, "finished_at": at_ms,
    }  # fmt: skip


def _archived_item(number: int, old_ms: int) -> dict[str, Any]:
    return {
        "id": number + 1, "source": "threatstack", "item_id": os.urandom(12).hex(), "digest": os.urandom(32),
        "sha256": b"\0" * 32, "version": 0, "at": old_ms + number, "received_at": old_ms + number, "newest": True,
        "state": "archived", "detail": "off", "object_key": f"webhooks/x/{number}", "content_type": "application/json",
    }  # fmt: skip


def _accept(writer: Any) -> float:
    """Accept alerts as requests do, each with its job."""
    from carboy.jobs import Job
    from carboy.services.archive.index import NewItem, Submission, accept

    job: Job[...] = Job("bench", print)
    body = b'{"id": "x", "title": "an alert"}' * 8

    def one(_: int) -> None:
        item = NewItem(
            "threatstack", os.urandom(12).hex(), os.urandom(32), b"\0" * 32, time.time_ns() // 1_000_000,
            f"webhooks/{next(_NUMBERS)}", "application/json", body,
        )  # fmt: skip
        writer.run(accept, Submission([item], job, time.time_ns() // 1_000_000, ""))

    return _rate(one)


def _rate(one: Callable[[int], None]) -> float:
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        for done in pool.map(one, range(AMOUNT)):
            assert done is None
        return AMOUNT / (time.perf_counter() - started)


def _work_off(writer: Any) -> float:
    """Take the jobs and have them done, as an engine does, until there are none."""
    from carboy.jobs.definitions import Done
    from carboy.jobs.rows import Settled, Take, settle, take

    started, amount = time.perf_counter(), 0
    while True:
        now_ms = time.time_ns() // 1_000_000
        rows = writer.run(take, Take("bench", ("bench",), (5,), 16, now_ms, now_ms + 60_000)).rows
        if not rows:
            return amount / (time.perf_counter() - started)
        with ThreadPoolExecutor(THREADS) as pool:
            ended = [Settled(row.id, "bench", row.attempt, Done(), now_ms) for row in rows]
            list(pool.map(lambda one: writer.run(settle, one), ended))
        amount += len(rows)


def _prune(writer: Any) -> float:
    """Return how many rows a second go away where a hundredth of them is too old."""
    from carboy.jobs.rows import AT_ONCE, prune

    started, amount = time.perf_counter(), 0
    for _ in range(4):
        amount += writer.run(prune, time.time_ns() // 1_000_000)
    assert amount <= 4 * AT_ONCE
    return amount / (time.perf_counter() - started)


@contextmanager
def _sqlite(amount: int) -> Iterator[list[Any]]:
    from carboy.db import DbSettings, engine

    with TemporaryDirectory(prefix="carboy-bench-") as folder:
        made = [engine(DbSettings(database_url=f"sqlite:///{folder}/{at}.db")) for at in range(amount)]
        yield made
        for one in made:
            one.dispose()


def _server(starter: Any) -> Any:
    @contextmanager
    def start(amount: int) -> Iterator[list[Any]]:
        from carboy.db import DbSettings, engine

        with starter() as server:
            names = [server.create_database() for _ in range(amount)]
            made = [engine(DbSettings(database_url=server.url(database=name))) for name in names]
            yield made
            for one in made:
                one.dispose()

    return start
