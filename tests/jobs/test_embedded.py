"""Rows are leased, run and settled; nothing is lost and no row is leased twice."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from tests.jobs.kit import Shop

from carboy.errors import Degraded, Refused, Throttled
from carboy.jobs import Abandon, Commit, Job, Later, put, row_of
from carboy.jobs.definitions import Dead, Queued, plan_failure

Eventually = Callable[[Callable[[], bool]], None]


@pytest.mark.slow
def test_every_row_is_run_once_by_one_of_several_engines(shop: Shop, eventually: Eventually) -> None:
    """Engines that share a table share the work."""
    done: Counter[int] = Counter()
    job: Job[[int]] = Job("count", lambda number: done.update([number]))
    for number in range(60):
        shop.add(job, number)

    shop.work(job)
    shop.work(job)

    eventually(lambda: shop.states() == ["done"] * 60)
    assert done == Counter(dict.fromkeys(range(60), 1))


@pytest.mark.slow
def test_a_key_is_kept_once(shop: Shop, eventually: Eventually) -> None:
    """What is asked for twice is done once, also after it was done."""
    done: list[int] = []
    job: Job[[int]] = Job("once", done.append)
    shop.add(job, 1, key="k")
    shop.add(job, 2, key="k")
    shop.work(job)
    eventually(lambda: shop.states() == ["done"])

    shop.add(job, 3, key="k")
    shop.add(job, 4, key="other")

    eventually(lambda: shop.states() == ["done", "done"])
    assert done == [1, 4]


@pytest.mark.slow
def test_a_failed_try_is_tried_again_and_the_last_one_kept_as_dead(shop: Shop, eventually: Eventually) -> None:
    """With its error, and able to be retried."""
    tries: list[int] = []
    healed = threading.Event()

    def flaky() -> None:
        tries.append(1)
        if not healed.is_set():
            raise RuntimeError("no luck")

    job: Job[[]] = Job("flaky", flaky, attempts=3, backoff_s=(0.001, 0.01))
    shop.add(job)
    shop.work(job)

    eventually(lambda: shop.states() == ["dead"])
    assert len(tries) == 3
    row = shop.store.list(state="dead")[0]
    assert (row.attempts, row.error) == (3, "RuntimeError: no luck")

    healed.set()
    assert shop.store.retry(int(row.id)).attempts in {0, 1}  # 1 where the engine has taken it already
    shop.engines[0].notify()
    eventually(lambda: shop.states() == ["done"])


@pytest.mark.slow
def test_a_failed_job_keeps_the_hint_of_its_error(shop: Shop, eventually: Eventually) -> None:
    """The error of the row has the hint, as on the command line."""

    def store() -> None:
        raise Refused("the object could not be stored", "AccessDenied", "allow s3:PutObject to the role")

    job = Job("store", store, attempts=1)
    shop.add(job)
    shop.work(job)

    eventually(lambda: shop.states() == ["dead"])
    assert (shop.store.list()[0].error or "").endswith("AccessDenied (hint: allow s3:PutObject to the role)")


@pytest.mark.slow
def test_a_job_may_say_that_it_can_never_succeed_or_when_to_come_back(shop: Shop, eventually: Eventually) -> None:
    """Given up at once; put off without counting; put off as the upstream asked."""
    seen: list[str] = []

    def hopeless() -> None:
        raise Abandon("the customer is gone")

    def patient() -> None:
        seen.append("patient")
        if seen.count("patient") < 5:
            raise Later("not yet", 0.01)

    def throttled() -> None:
        seen.append("throttled")
        if seen.count("throttled") < 2:
            raise Throttled("it", "asked us to wait", "", retry_after_s=0.2)

    jobs = [Job("hopeless", hopeless), Job("patient", patient, attempts=2), Job("throttled", throttled)]
    started = time.monotonic()
    for job in jobs:
        shop.add(job)
    shop.work(*jobs)

    eventually(lambda: sorted(shop.states()) == ["dead", "done", "done"])
    assert seen.count("patient") == 5
    assert shop.store.list(state="dead")[0].error == ("Abandon: the job was given up: the customer is gone")
    assert {row.kind: row.attempts for row in shop.store.list(state="done")} == {"patient": 1, "throttled": 2}
    assert time.monotonic() - started >= 0.2


def test_a_rows_last_write_is_kept_with_its_state(shop: Shop, eventually: Eventually) -> None:
    """The two are one transaction: if the write fails, the row is not done."""
    with shop.engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (number INTEGER UNIQUE)"))

    def write(connection: Any, numbers: Sequence[int]) -> list[None]:
        connection.execute(text("INSERT INTO effects VALUES (:n)"), [{"n": number} for number in numbers])
        return [None] * len(numbers)

    job: Job[[int]] = Job("effect", lambda number: Commit(write, number))
    shop.add(job, 1)
    shop.add(job, 2)
    shop.work(job)

    eventually(lambda: shop.states() == ["done", "done"])
    with shop.engine.connect() as connection:
        assert list(connection.execute(text("SELECT number FROM effects ORDER BY 1")).scalars()) == [1, 2]


@pytest.mark.slow
def test_a_row_comes_back_when_its_lease_ends(shop: Shop, eventually: Eventually) -> None:
    """A worker that vanished without a word holds nothing for ever."""
    done: list[int] = []
    job: Job[[int]] = Job("orphan", done.append)
    shop.add(job, 7)
    with shop.engine.begin() as connection:
        connection.execute(
            text("UPDATE carboy_jobs SET state='running', owner='elsewhere:1:2:3', attempts=1, lease_until=:t"),
            {"t": time.time_ns() // 1_000_000 + 300},
        )

    shop.work(job, jobs_lease_s=2)

    eventually(lambda: shop.states() == ["done"])
    assert done == [7]
    assert shop.store.list()[0].attempts == 2


@pytest.mark.slow
def test_a_lease_is_kept_while_the_job_runs(shop: Shop, eventually: Eventually) -> None:
    """A long job is not given to another worker."""
    runs: list[int] = []

    def slow() -> None:
        runs.append(1)
        time.sleep(1.0)

    job: Job[[]] = Job("slow", slow)
    shop.add(job)
    shop.work(job, jobs_lease_s=0.3)
    shop.work(job, jobs_lease_s=0.3)

    eventually(lambda: shop.states() == ["done"])
    assert len(runs) == 1


@pytest.mark.slow
def test_a_job_past_its_time_loses_its_lease(shop: Shop, eventually: Eventually) -> None:
    """A hung thread does not hold its row; another worker does the work."""
    release = threading.Event()
    runs: list[int] = []

    def hangs_once() -> None:
        runs.append(1)
        if len(runs) == 1:
            release.wait(10)

    job: Job[[]] = Job("hangs", hangs_once, timeout_s=0.1)
    shop.add(job)
    shop.work(job, jobs_lease_s=0.3)
    shop.work(job, jobs_lease_s=0.3)

    eventually(lambda: shop.states() == ["done"])
    release.set()
    assert len(runs) == 2


@pytest.mark.slow
def test_a_worker_whose_threads_hang_leaves_the_other_rows_to_others(shop: Shop, eventually: Eventually) -> None:
    """It keeps no row that no thread can begin, and readiness says that its threads are lost."""
    release = threading.Event()
    hangs: Job[[]] = Job("hangs", lambda: release.wait(30), timeout_s=0.1)
    works: Job[[]] = Job("works", lambda: None)
    shop.add(hangs, times=2)
    stuck = shop.work(hangs, works, jobs_concurrency=2, jobs_lease_s=0.3)
    eventually(lambda: len(stuck._lost) == 2)
    shop.add(works, times=5)
    with pytest.raises(Degraded, match="2 of 2 threads are lost"):
        stuck.check()

    shop.work(works, jobs_lease_s=0.3)
    eventually(lambda: [job.state for job in shop.store.list(kind="works")] == ["done"] * 5)
    release.set()
    eventually(lambda: not stuck._lost)
    stuck.check()


@pytest.mark.slow
def test_a_row_does_not_wait_long_behind_others_of_its_worker(shop: Shop, eventually: Eventually) -> None:
    """While the only thread is busy for long, within its time, another worker takes what waits behind it."""
    release = threading.Event()
    slow: Job[[]] = Job("slow", lambda: release.wait(30), timeout_s=60, priority=1)
    quick: Job[[]] = Job("quick", lambda: None)
    shop.add(slow)
    shop.add(quick)
    shop.work(slow, quick, jobs_concurrency=1, jobs_lease_s=0.3)
    eventually(lambda: shop.states() == ["running", "running"])
    shop.work(quick, jobs_concurrency=1, jobs_lease_s=0.3)
    eventually(lambda: shop.states() == ["running", "done"])
    release.set()
    eventually(lambda: shop.states() == ["done", "done"])


@pytest.mark.slow
def test_a_row_whose_workers_all_vanish_ends_dead(shop: Shop, eventually: Eventually) -> None:
    """A job that kills its process is not tried for ever."""
    done: list[int] = []
    job: Job[[]] = Job("poison", lambda: done.append(1), attempts=2)
    shop.add(job)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET attempts=2"))

    shop.work(job)

    eventually(lambda: shop.states() == ["dead"])
    assert not done
    assert "worker was lost" in str(shop.store.list()[0].error)


@pytest.mark.slow
def test_a_job_without_a_limit_of_attempts_is_never_dead(shop: Shop, eventually: Eventually) -> None:
    """Neither by failing, however often, nor by workers that vanish; what can never succeed is dead at once."""
    failures = iter([OSError("away")])

    def patient() -> None:
        for error in failures:
            raise error

    job: Job[[]] = Job("patient", patient, attempts=None, backoff_s=(0.001, 0.001))
    shop.add(job)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET attempts=20000000"))

    shop.work(job)

    eventually(lambda: shop.states() == ["done"])
    assert shop.store.list()[0].attempts == 20_000_002
    assert isinstance(plan_failure(job, 30_000_000, OSError("away"), 0), Queued)
    assert isinstance(plan_failure(job, 1, Abandon("gone"), 0), Dead)


def test_stopping_gives_back_what_has_not_begun_and_waits_for_what_runs(shop: Shop, eventually: Eventually) -> None:
    """What is given back is as if it had never been taken."""
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.3)

    job: Job[[]] = Job("slow", slow)
    shop.add(job, times=12)
    engine = shop.work(job)
    begun.wait(5)

    assert engine.stop() is True

    states = Counter(shop.states())
    assert states["running"] == 0
    assert 1 <= states["done"] < 12
    assert {row.attempts for row in shop.store.list(state="queued")} == {0}


def test_stopping_with_no_patience_gives_back_what_runs(shop: Shop) -> None:
    """The process is about to end; the row is done again elsewhere."""
    begun, release = threading.Event(), threading.Event()

    def endless() -> None:
        begun.set()
        release.wait(10)

    job: Job[[]] = Job("endless", endless)
    shop.add(job)
    engine = shop.work(job)
    begun.wait(5)

    assert engine.stop(0.0) is False

    assert shop.states() == ["queued"]
    release.set()


@pytest.mark.slow
def test_what_is_urgent_runs_first_and_strangers_rows_are_left_alone(shop: Shop, eventually: Eventually) -> None:
    """Priorities are those of the jobs; kinds that this process does not know wait for one that does."""
    order: list[str] = []
    usual: Job[[str]] = Job("usual", order.append)
    urgent: Job[[str]] = Job("urgent", order.append, priority=1)
    strange: Job[[]] = Job("strange", lambda: None)
    shop.add(strange)
    shop.add(usual, "usual", times=3)
    shop.add(urgent, "urgent")

    shop.work(usual, urgent, jobs_concurrency=1)

    eventually(lambda: len(order) == 4)
    assert order[0] == "urgent"
    eventually(lambda: sorted(shop.states()) == ["done"] * 4 + ["queued"])


def test_a_row_for_later_is_run_when_it_is_due(shop: Shop, eventually: Eventually) -> None:
    """Not before, and without waiting for the next look."""
    at: list[float] = []
    job: Job[[]] = Job("later", lambda: at.append(time.monotonic()))
    started = time.monotonic()
    shop.add(job, after_s=0.3)

    shop.work(job, jobs_poll_s=30.0)

    eventually(lambda: bool(at))
    assert at[0] - started >= 0.29


@pytest.mark.slow
def test_finished_rows_are_pruned_and_dead_ones_kept(shop: Shop, eventually: Eventually) -> None:
    """`JOBS_RETENTION` is for what is done; what failed waits for a person."""
    from carboy.config import Duration

    job: Job[[]] = Job("quick", lambda: None)
    shop.add(job, times=3)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET state='done', finished_at=1"))
    shop.add(job)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET state='dead', finished_at=1 WHERE state='queued'"))

    shop.work(job, jobs_retention=Duration("1s"))

    eventually(lambda: shop.states() == ["dead"])


def test_a_stop_gives_back_what_is_taken_in_that_moment(shop: Shop, eventually: Eventually) -> None:
    """Rows that arrive while the stop begins belong to no worker, and no caller waits for them."""
    job: Job[[]] = Job("late", lambda: None)
    engine = shop.work(job)
    with shop.engine.connect().execution_options(carboy_write=True) as other, other.begin():
        put(other, [row_of(job, (), now_ms=0) for _ in range(5)])
        engine.notify()
        eventually(lambda: engine.writer._leading == 1)  # the keeper waits for the lock
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(engine.stop)
            eventually(lambda: not engine.is_running)
            other.commit()
            assert stopped.result()

    eventually(lambda: engine.writer._leading == 0)
    assert [(row.state, row.attempts) for row in shop.store.list()] == [("queued", 0)] * 5


@pytest.mark.slow
def test_a_stop_begins_nothing_and_waits_for_nothing_that_has_not_begun(shop: Shop, eventually: Eventually) -> None:
    """However often a stop meets the moment between taking a row and beginning it."""
    runs: Counter[int] = Counter()
    job: Job[[int]] = Job("quick", lambda number: runs.update([number]))
    for number in range(100):
        shop.add(job, number)

    while shop.store.list(state="queued"):
        left = len(shop.store.list(state="queued"))
        engine = shop.work(job)
        eventually(lambda left=left: len(shop.store.list(state="queued")) < left)  # type: ignore[misc]
        assert engine.stop()
        assert shop.store.list(state="running") == []

    assert runs == Counter(dict.fromkeys(range(100), 1))


@pytest.mark.slow
def test_a_lease_is_kept_while_a_stop_waits_for_its_job(shop: Shop, eventually: Eventually) -> None:
    """A long drain does not have the same job run elsewhere."""
    runs, is_over = Counter[str](), threading.Event()

    def run() -> None:
        runs.update(["begun"])
        is_over.wait(10)

    job: Job[[]] = Job("long", run)
    shop.add(job)
    engine = shop.work(job, jobs_lease_s=0.3)
    eventually(lambda: runs["begun"] == 1)

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(engine.stop)
        eventually(lambda: not engine.is_running)
        shop.work(job, jobs_lease_s=0.3)
        time.sleep(1)  # three leases long
        is_over.set()
        assert stopped.result()

    assert shop.states() == ["done"]
    assert runs["begun"] == 1


@pytest.mark.slow
def test_a_job_that_exits_costs_no_thread(shop: Shop, eventually: Eventually) -> None:
    """`sys.exit` in a job, or in a library under it, is a failure like others."""
    ends: Job[[]] = Job("ends", sys.exit, attempts=1)
    works: Job[[]] = Job("works", lambda: None, priority=6)
    shop.add(ends, times=8)
    shop.add(works)

    shop.work(ends, works)

    eventually(lambda: shop.states() == ["dead"] * 8 + ["done"])


@pytest.mark.slow
def test_a_worker_that_lost_its_row_writes_nothing_more(shop: Shop, eventually: Eventually) -> None:
    """What it found may be older than what the row's new holder has written."""
    has_begun, may_end, written = threading.Event(), threading.Event(), list[str]()

    def write(_connection: object, items: Sequence[str]) -> list[None]:
        written.extend(items)
        return [None] * len(items)

    def run() -> Commit:
        has_begun.set()
        may_end.wait(10)
        return Commit(write, "stale")

    job: Job[[]] = Job("slow", run)
    shop.add(job)
    engine = shop.work(job)
    has_begun.wait(10)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET owner='another', attempts=2"))
    may_end.set()

    assert engine.stop()
    assert written == []
    assert shop.states() == ["running"]
