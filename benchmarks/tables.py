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

from tests.lab.threat_stack_api import invent_alert_id

from benchmarks.databases import durable_mariadb, durable_postgres
from carboy.testing.processes.running import MissingBinary

IS_LONG = True
COUNTS = (10_000, 1_000_000)
AMOUNT = 2000
ROUNDS = 4
THREADS = 16
MEASURED = ("accepted/s", "random ids", "done/s")
_NUMBERS = count(1)


def run(*counts: int) -> None:
    print(f"The best of {ROUNDS} rounds of {AMOUNT} items, {THREADS} threads, one process, no HTTP and no objects.")
    print("Rounds take turns with the tables, so that what else the machine does harms all alike.")
    print("Ids: those that grow with time, as Threat Stack's do, and then random ones, as UUIDs are.")
    print(
        f"{'database':12}{'finished rows':>14}" + "".join(f"{name:>14}{'ratio':>7}" for name in MEASURED) + " pruned/s"
    )
    for name, start in (
        ("sqlite", _sqlite),
        ("mariadb", _server(durable_mariadb)),
        ("postgres", _server(durable_postgres)),
    ):
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
        _fill(engine, size)
        writers.append(GroupCommit(engine))
    best = [[0.0] * len(MEASURED) for _ in writers]
    for _ in range(ROUNDS):
        for at, writer in enumerate(writers):
            found = (_accept(writer), _accept(writer, is_random=True), _work_off(writer))
            best[at] = [max(pair) for pair in zip(best[at], found, strict=True)]
    for at, size in enumerate(counts):
        told = "".join(f"{rate:14,.0f}{first / rate:7.2f}" for first, rate in zip(best[0], best[at], strict=True))
        print(f"{name:12}{size:14,}{told}{_prune(writers[at]):9,.0f}", flush=True)


def capacity(url: str) -> tuple[float, float]:
    """Return how many items a second a database takes, and how many jobs it has done: one process, no HTTP."""
    from carboy.db import DbSettings, GroupCommit, engine, upgrade

    made = engine(DbSettings(database_url=url))
    upgrade(made)
    writer = GroupCommit(made)
    found = _accept(writer), _work_off(writer)
    made.dispose()
    return found


def _fill(engine: Any, size: int) -> None:
    """Put finished jobs and archived items into the tables, one each millisecond, and none older than what is kept."""
    from sqlalchemy import bindparam, insert, literal, select, text

    from carboy.jobs.tables import JOBS
    from carboy.services.archive.tables import ITEMS

    numbers, some_hex, some_bytes = _GENERATED[engine.dialect.name]
    old_ms = time.time_ns() // 1_000_000 - size - 3_600_000
    job = dict.fromkeys(("run_at", "created_at", "finished_at"), text(f"{old_ms} + n.i")) | {
        "id": text("n.i"), "kind": literal("bench"), "args": bindparam("args", b"[1]"), "state": literal("done"),
        "priority": literal(5), "attempts": literal(1),
    }  # fmt: skip
    item = dict.fromkeys(("at", "received_at"), text(f"{old_ms} + n.i")) | {
        "id": text("n.i"), "source": literal("threatstack"), "item_id": text(f"substr({some_hex}, 1, 24)"),
        "digest": text(some_bytes), "sha256": text(some_bytes), "newest": literal(True), "state": literal("archived"),
        "detail": literal("off"), "object_key": literal("webhooks/2026/11/21/10/11/587c0159a907346eccb84004"),
        "content_type": literal("application/json"),
    }  # fmt: skip
    for start in range(1, size + 1, _AT_ONCE):
        source = text(numbers.format(start, min(start + _AT_ONCE - 1, size)))
        with engine.begin() as connection:
            for table, values in ((JOBS, job), (ITEMS, item)):
                rows: Any = select(*values.values()).select_from(source)  # type: ignore[arg-type]
                connection.execute(insert(table).from_select(list(values), rows, include_defaults=False))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in _TO_DISK[engine.dialect.name]:
            connection.exec_driver_sql(statement)


_TO_DISK = {
    "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "postgresql": ("VACUUM ANALYZE carboy_jobs", "VACUUM ANALYZE archive_items", "CHECKPOINT"),
    "mysql": (
        "ANALYZE TABLE carboy_jobs, archive_items",
        "FLUSH TABLES carboy_jobs, archive_items FOR EXPORT",
        "UNLOCK TABLES",
    ),
}
"""What has the rows lie there as if for long: known to the planner, and none of them still to be written."""

_AT_ONCE = 500_000
_GENERATED = {
    "sqlite": (
        "(WITH RECURSIVE c(i) AS (SELECT {0} UNION ALL SELECT i + 1 FROM c WHERE i < {1}) SELECT i FROM c) AS n",
        "lower(hex(randomblob(12)))",
        "randomblob(32)",
    ),
    "postgresql": (
        "generate_series({0}, {1}) AS n(i)",
        "md5(random()::text)",
        "decode(md5(random()::text) || md5(random()::text), 'hex')",
    ),
    "mysql": ("(SELECT seq AS i FROM seq_{0}_to_{1}) AS n", "lower(hex(random_bytes(12)))", "random_bytes(32)"),
}
"""By the database: numbers from one to another, and what makes a random text and random bytes for each."""


def _accept(writer: Any, *, is_random: bool = False) -> float:
    """Accept items as requests do, each with its job."""
    from carboy.jobs import Job
    from carboy.services.archive.index import accept
    from carboy.services.archive.items import NewItem, Submission

    job: Job[...] = Job("bench", print)
    body = b'{"id": "x", "title": "an alert"}' * 8

    def one(_: int) -> None:
        now_ms, number = time.time_ns() // 1_000_000, next(_NUMBERS)
        item_id = os.urandom(12).hex() if is_random else invent_alert_id(now_ms, number)
        item = NewItem(
            "threatstack", item_id, os.urandom(32), b"\0" * 32, now_ms, f"webhooks/{number}", "application/json", body
        )
        writer.run(accept, Submission([item], job, now_ms, ""))

    return _rate(one)


def _rate(one: Callable[[int], None]) -> float:
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        for done in pool.map(one, range(AMOUNT)):
            assert done is None
        return AMOUNT / (time.perf_counter() - started)


def _work_off(writer: Any) -> float:
    """Lease and run jobs, as an engine does, until no job is left."""
    from carboy.jobs.definitions import Done
    from carboy.jobs.job_rows import LeaseRequest, Settled, settle, take

    started, amount = time.perf_counter(), 0
    while True:
        now_ms = time.time_ns() // 1_000_000
        rows = writer.run(take, LeaseRequest("bench", ("bench",), (5,), 16, now_ms, now_ms + 60_000)).rows
        if not rows:
            return amount / (time.perf_counter() - started)
        with ThreadPoolExecutor(THREADS) as pool:
            ended = [Settled(row.id, "bench", row.attempt, Done(), now_ms) for row in rows]
            list(pool.map(lambda one: writer.run(settle, one), ended))
        amount += len(rows)


def _prune(writer: Any) -> float:
    """Return how many rows a second go away where a hundredth of them is too old."""
    from carboy.jobs.job_rows import AT_ONCE, prune

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
