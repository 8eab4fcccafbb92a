"""Who waits for rows hears when they are done, also where another process did them, and waits no longer than asked."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.jobs.kit import Shop

from carboy.jobs import Commit, Job, Waiters


def test_the_end_of_a_row_is_heard_at_once() -> None:
    """One look before, one after the news of the last row, and none for each of the others."""
    waiters, is_over, looks = Waiters(1), threading.Event(), []

    def is_done() -> bool:
        looks.append(is_over.is_set())
        return is_over.is_set()

    def work() -> None:
        while not looks:
            time.sleep(0.0001)
        is_over.set()
        for row in (2, 1, 7, 3):
            waiters.notify(row)

    thread = threading.Thread(target=work)
    thread.start()
    assert waiters.wait([1, 2, 3], is_done, 30)
    thread.join()
    assert looks[-1] is True


def test_what_another_process_did_is_seen_without_news() -> None:
    """Looking now and then is enough."""
    began = time.monotonic()
    assert Waiters(1).wait([1], lambda: time.monotonic() - began > 0.05, 30)


def test_nobody_waits_longer_than_asked_or_without_a_seat() -> None:
    """The answer is no then; the seat is free again afterwards."""
    waiters, sits = Waiters(1), threading.Event()
    answers: list[bool] = []

    def is_done() -> bool:
        sits.set()
        return False

    thread = threading.Thread(target=lambda: answers.append(waiters.wait([1], is_done, 0.2)))
    thread.start()
    assert sits.wait(10)
    assert not waiters.wait([1], lambda: True, 30), "there is one seat"
    thread.join()
    assert answers == [False]
    assert waiters.wait([1], lambda: True, 30)
    assert not Waiters(0).wait([1], lambda: True, 30)


def test_what_a_job_asked_for_is_called_after_its_commit(shop: Shop) -> None:
    """Then the row is done for everybody who looks."""
    seen: list[list[str]] = []
    is_told = threading.Event()

    def write(connection: Any, items: Sequence[Any]) -> list[None]:
        return [None] * len(items)

    def then() -> None:
        seen.append(shop.states())
        is_told.set()

    job: Job[[]] = Job("told", lambda: Commit(write, None, then=then))
    shop.work(job)
    shop.add(job)
    assert is_told.wait(30)
    assert seen == [["done"]]
