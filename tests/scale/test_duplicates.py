"""Several processes get the same things in different orders: each is kept once, and none waits in a circle."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from sqlalchemy import Connection, func, select
from tests.scale.kit import Base, without_deadlocks

from carboy.db import one_by_one
from carboy.jobs import Job, put, row_of
from carboy.jobs.tables import JOBS
from carboy.services.archive.index import accept
from carboy.services.archive.items import NewItem, Submission
from carboy.services.archive.tables import ITEMS
from carboy.services.sms.inbound import keep_inbound
from carboy.services.sms.tables import INBOUND

PROCESSES, ROUNDS, BATCH, NOW_MS = 6, 8, 20, 1_800_000_000_000
KEEP: Job[[int]] = Job("archive.keep", print)


@one_by_one
def _put(connection: Connection, jobs: Sequence[Mapping[str, Any]]) -> None:
    put(connection, jobs)


def item(number: int) -> NewItem:
    digest = hashlib.sha256(b"%d" % number).digest()
    return NewItem("shop", f"event-{number}", digest, digest, NOW_MS, f"shop/{number}", "application/json", b"{}")


def message(number: int) -> dict[str, object]:
    shown = {"receiver": None, "text": "hello", "keyword": None}
    sender = {"sender": "+447900000001", "sender_shown": "+44***", "sender_hash": "x"}
    return {"id": number + 1, "key": f"key-{number}", "provider": "twilio", "at": NOW_MS, **sender, **shown}


def test_the_same_things_in_different_orders_do_not_deadlock(base: Base) -> None:
    """Webhooks, messages that people sent, and jobs with a key."""
    writers = [base.writer() for _ in range(PROCESSES)]
    barrier = Barrier(PROCESSES)

    def work(place: int) -> None:
        chance = random.Random(place)

        def shuffled(turn: int) -> Sequence[int]:
            return chance.sample(range(turn * BATCH, (turn + 1) * BATCH), BATCH)

        for turn in range(ROUNDS):
            barrier.wait(20)
            writers[place].run(accept, Submission([item(number) for number in shuffled(turn)], KEEP, NOW_MS, ""))
            barrier.wait(20)
            writers[place].run(keep_inbound, [message(number) for number in shuffled(turn)])
            barrier.wait(20)
            jobs = [row_of(KEEP, (number,), now_ms=NOW_MS, key=f"k{number}") for number in shuffled(turn)]
            writers[place].run(_put, jobs)

    with without_deadlocks(base.server), ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, range(PROCESSES)))

    with base.engine().connect() as connection:
        kept = [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (ITEMS, INBOUND)]
        keyed = select(func.count()).where(JOBS.c.key.is_not(None), JOBS.c.kind == KEEP.kind)
        assert [*kept, connection.execute(keyed).scalar_one()] == [ROUNDS * BATCH] * 3
