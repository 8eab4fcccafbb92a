"""Which works a group commit has in one transaction, where other processes have transactions of their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from sqlalchemy import Connection
from tests.journeys.zygote import eventually
from tests.scale.kit import Base

from carboy.db import locks_in_order, ordered_by


def test_items_of_one_function_that_locks_rows_share_a_transaction_with_those_that_lock_none(base: Base) -> None:
    """Those of a second one come in the next; each function has its items in the order of the rows."""
    began, go = Event(), Event()
    transactions: dict[int, list[str]] = {}

    def note(name: str) -> Callable[[Connection, str], str]:
        def write(connection: Connection, item: str) -> str:
            transactions.setdefault(id(connection.get_transaction()), []).append(name + item)
            kept.append(connection.get_transaction())
            return item.upper()

        return write

    def wait(_connection: Connection, items: Sequence[None]) -> list[None]:
        began.set()
        assert go.wait(30)
        return list(items)

    def plain(connection: Connection, items: Sequence[str]) -> list[str]:
        return [note("plain-")(connection, item) for item in items]

    def sometimes(connection: Connection, items: Sequence[str]) -> list[str]:
        return [note("sometimes-")(connection, item) for item in items]

    kept: list[Any] = []  # so that no two have the same id

    def itself(item: str) -> str:
        return item

    first, second = ordered_by(itself)(note("first-")), ordered_by(itself)(note("second-"))
    locks_in_order(sometimes, lambda item: item == "locks")
    works = [
        *((first, "b"), (second, "d"), (plain, "x"), (second, "c")),
        *((sometimes, "locks"), (sometimes, "-"), (first, "a")),
    ]
    writer = base.writer()
    with ThreadPoolExecutor(10) as pool:
        leader = pool.submit(writer.run, wait, None)
        assert began.wait(30)
        answers = []
        for apply, item in works:
            answers.append(pool.submit(writer.run, apply, item))
            eventually(lambda: len(writer._waiting) == len(answers), "it waits")
        go.set()
        leader.result(30)
        assert [one.result(30) for one in answers] == ["B", "D", "X", "C", "LOCKS", "-", "A"]

    assert sorted(transactions.values()) == sorted(
        [["first-a", "first-b", "plain-x", "sometimes--"], ["second-c", "second-d"], ["sometimes-locks"]]
    )
