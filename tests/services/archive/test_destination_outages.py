"""Destinations that fail: they are tried by the schedule, catch up within their rate, and take nothing from others."""

import sqlite3
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy.testing import Answer, Drip, LoopbackServer, ManualClock, Request, Stall
from carboy.testing.answers import Step
from carboy.web import runtime

HOUR_S = 3600


def rows(gateway: Gateway, query: str) -> list[Any]:
    with runtime(gateway.app).engine.connect() as connection:
        return list(connection.execute(text(query)))


def next_job_ms(gateway: Gateway) -> int:
    """Wait until nothing is due or under way, and return when the next job that delivers is; 0 for none."""
    clock = runtime(gateway.app).clock
    query = "SELECT state, run_at FROM carboy_jobs WHERE kind = 'archive.deliver' AND state IN ('queued', 'running')"

    def found() -> list[int] | None:
        jobs = rows(gateway, query)
        is_busy = any(state == "running" or run_at <= clock.now_ms() for state, run_at in jobs)
        return None if is_busy else [min((run_at for _, run_at in jobs), default=0)]

    result: list[int] = until(found, 60)
    return result[0]


@pytest.mark.slow
def test_one_that_is_away_for_an_hour_is_tried_by_the_schedule_and_catches_up_within_its_rate(serve: Serve) -> None:
    """No attempt comes before its time, the breaker lets few through, and none of the deliveries is lost."""
    clock = ManualClock()
    up_at_ms = clock.now_ms() + HOUR_S * 1000
    tries: dict[str, list[int]] = defaultdict(list)
    taken: list[int] = []

    def answer(request: Request) -> Answer:
        now_ms = clock.now_ms()
        tries[request.headers["webhook-id"]].append(now_ms)
        if now_ms < up_at_ms:
            return Answer(500)
        taken.append(now_ms)
        return Answer(200)

    with LoopbackServer(answer) as receiver:
        toml = table(receiver.url, 'rate = "10/s"\nmax_in_flight = 4')
        gateway = operator(serve(toml=toml, clock=clock))
        events = [{**ALERT, "id": f"a{at}"} for at in range(40)]
        gateway.send(*events)
        while clock.now_ms() < up_at_ms:
            due_ms = next_job_ms(gateway)
            assert due_ms, "a job is there as long as deliveries wait"
            clock.advance((due_ms - clock.now_ms()) / 1000)
        until(lambda: len(taken) >= len(events) - 4, 60)
        assert len([one for at in tries.values() for one in at if one < up_at_ms]) < 40, "the breaker was open"
        assert gateway.get("/api/v1/destinations/siem").get_json()["failed"] == 0
        assert taken[-1] - taken[0] >= (len(taken) - 1) * 100 * 0.99
        schedule_s = (0, 5, 300, 1800, 7200)
        for made in tries.values():
            for number in range(1, len(made)):
                assert made[number] - made[number - 1] >= schedule_s[number] * 900
        for _ in range(20):  # those that were probes have longer to wait
            if len(ended(gateway, "waiting")()) == 0:
                break
            due_ms = next_job_ms(gateway)
            clock.advance(max(0, due_ms - clock.now_ms()) / 1000)
        until(lambda: {request.json()["id"] for request in receiver.requests} == {one["id"] for one in events})
        until(lambda: not ended(gateway, "waiting")())


@pytest.mark.server
def test_bad_ones_do_not_slow_a_good_one(serve: Serve) -> None:
    """One hangs, one fails, one sends its response a byte at a time: the fourth is as fast as alone."""
    amount = 300
    bad: dict[str, Step] = {
        "hangs": Stall(),
        "fails": Answer(500),
        "drips": Drip(Answer(200, b"x" * 10_000), every_s=0.2, headers_at_once=False),
    }
    with ExitStack() as stack:
        good = stack.enter_context(LoopbackServer(Answer(delay_s=0.02), record=False))
        tables = [table(good.url, "timeout_s = 3", "good")]
        tables += [
            table(stack.enter_context(LoopbackServer(step, record=False)).url, "timeout_s = 3", name)
            for name, step in bad.items()
        ]
        gateway = operator(serve(toml="".join(tables)))
        names = ["good", *bad]
        for name in names:
            gateway.post(f"/api/v1/destinations/{name}/pause")
        for start in range(0, amount * 2, 100):
            gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(start, start + 100)))
        left_query = "SELECT count(*) FROM archive_deliveries WHERE destination = 'good' AND state != 'delivered'"

        def took_s(left: int) -> float:
            began_s = time.monotonic()
            gateway.post("/api/v1/destinations/good/resume")
            until(lambda: rows(gateway, left_query)[0][0] <= left, 120)
            gateway.post("/api/v1/destinations/good/pause")
            return time.monotonic() - began_s

        alone_s = took_s(amount)
        for name in bad:
            gateway.post(f"/api/v1/destinations/{name}/resume")
        until(lambda: rows(gateway, "SELECT count(*) FROM archive_attempts WHERE destination = 'fails'")[0][0])
        beside_s = took_s(0)

        assert beside_s < alone_s * 2


@pytest.mark.slow
def test_many_that_hang_leave_their_threads_to_one_that_works(serve: Serve) -> None:
    """More of them than the job engine has threads; none of their attempts has ended when the good one has all."""
    with ExitStack() as stack:
        silent = stack.enter_context(LoopbackServer(Stall(), record=False))
        good = stack.enter_context(LoopbackServer(Answer()))
        hanging = [f"h{at}" for at in range(6)]
        tables = [table(silent.url, "timeout_s = 20", name) for name in hanging]
        gateway = operator(serve(toml="".join([*tables, table(good.url, name="z")]), jobs_concurrency=4))

        gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(20)))

        until(lambda: len(good.requests) == 20, 60)
        ends = "SELECT count(*) FROM archive_attempts WHERE destination != 'z'"
        assert rows(gateway, ends) == [(0,)], "they hang still"
        for name in hanging:
            gateway.post(f"/api/v1/destinations/{name}/pause")
        silent.stop()


@pytest.mark.slow
def test_a_stop_waits_for_an_attempt_whose_turn_left_its_thread(serve: Serve, tmp_path: Path) -> None:
    """Else it is made again after the start, though the receiver has it."""
    is_stopping = threading.Event()

    def answer(_: Request) -> Answer:
        is_stopping.wait(30)
        time.sleep(0.5)
        return Answer(200)

    with LoopbackServer(answer) as slow, LoopbackServer(Answer()) as good:
        toml = table(slow.url, "timeout_s = 40\nmax_in_flight = 1", "a") + table(good.url, name="z")
        gateway = operator(serve(toml=toml, jobs_concurrency=2))
        gateway.send(ALERT, {**ALERT, "id": "other"})
        until(lambda: len(good.requests) == 2, 60)

        is_stopping.set()
        runtime(gateway.app).close()

        with closing(sqlite3.connect(tmp_path / "test.db")) as database:
            found = database.execute(
                "SELECT state FROM archive_deliveries WHERE destination = 'a' ORDER BY id"
            ).fetchall()
        assert (len(slow.requests), found) == (1, [("delivered",), ("waiting",)])
