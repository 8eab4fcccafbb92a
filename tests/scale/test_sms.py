"""Many processes write about the same messages: none waits for another in a circle."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import select
from tests.scale.kit import Base, without_deadlocks

from carboy.db import GroupCommit, insert_rows
from carboy.services.sms.delivery_reports import Report, report
from carboy.services.sms.message_store import Begin, Mark, begin, mark
from carboy.services.sms.numbers import Number
from carboy.services.sms.opt_outs import OptOut, opt_in, opt_out
from carboy.services.sms.providers import Receipt
from carboy.services.sms.tables import DAILY, MESSAGES

PROCESSES, ROUNDS, BATCH, NOW_MS = 6, 12, 30, 1_800_000_000_000


def add_messages(base: Base, count: int, state: str = "sent") -> None:
    rows = [
        {
            "id": number,
            "request": number,
            "receiver": f"+4479000{number:05}",
            "receiver_shown": "+4479***",
            "receiver_hash": f"{number:064}",
            "template": "news",
            "state": state,
            "attempts": 1,
            "segments": 1,
            "provider": "twilio",
            "provider_id": f"SM{number}",
            "country": ("GB", "FR")[number % 2],
            "created_at": NOW_MS,
            "sent_at": NOW_MS,
        }
        for number in range(1, count + 1)
    ]
    with base.engine().begin() as connection:
        insert_rows(connection, MESSAGES, rows)


def reports(numbers: list[int], at_ms: int) -> list[Report]:
    return [Report("twilio", Receipt(f"SM{number}", "delivered"), "", at_ms + number % 7 * 9000) for number in numbers]


def test_reports_of_the_same_messages_do_not_deadlock(base: Base) -> None:
    """Each process gets them in an order of its own, and others write the outcome of calls; each is counted once."""
    add_messages(base, ROUNDS * BATCH)
    writers = [base.writer() for _ in range(PROCESSES)]
    barrier = Barrier(PROCESSES)

    def work(place: int) -> None:
        for turn in range(ROUNDS):
            numbers = list(range(1 + turn * BATCH, 1 + (turn + 1) * BATCH))
            random.Random(place).shuffle(numbers)
            barrier.wait(60)
            if place % 3:
                writers[place].run(report, reports(numbers, NOW_MS + 60_000))
            else:
                marks = [Mark(number, number, "", "sent", NOW_MS, "twilio", f"SM{number}") for number in numbers]
                writers[place].run(mark, marks)

    with without_deadlocks(base.server), ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, range(PROCESSES)))

    with base.engine().connect() as connection:
        counted = sum(row.messages for row in connection.execute(select(DAILY).where(DAILY.c.state == "delivered")))
    assert counted == ROUNDS * BATCH


def test_stops_do_not_deadlock_with_messages_that_ask_for_them(base: Base) -> None:
    """Threads of three processes add numbers, remove them, and mark marketing messages to others as being sent."""
    add_messages(base, 200, "queued")

    def work(writer: GroupCommit, place: int) -> None:
        chance = random.Random(place)
        for turn in range(50):
            row = 1 + chance.randrange(200)
            number = Number(f"+4479000{row:05}", "+4479***", "GB")
            match chance.randrange(4):
                case 0:
                    writer.run(opt_out, OptOut(number, "stop", "twilio", NOW_MS))
                case 1:
                    writer.run(opt_in, number.e164)
                case _:
                    writer.run(begin, Begin((row,), f"{place}-{turn}", "twilio", {row: number.e164}, NOW_MS))

    writers = [base.writer() for _ in range(3)]
    with without_deadlocks(base.server), ThreadPoolExecutor(12) as pool:
        list(pool.map(work, writers * 4, range(12)))
