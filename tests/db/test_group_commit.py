"""Many threads write, one commits for all, and each gets its own answer or its own fault."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

from carboy.db import DbSettings, GroupCommit, engine, write_last
from carboy.errors import Unreachable
from carboy.testing.processes import DatabaseServer


@pytest.fixture
def table(sqlite: Engine) -> Engine:
    """A table whose words are unique."""
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE words (word TEXT UNIQUE NOT NULL)")
    return sqlite


def _add(connection: Connection, words: Sequence[str | None]) -> list[int]:
    connection.exec_driver_sql("INSERT INTO words VALUES (?)", [(word,) for word in words])
    return [len(words)] * len(words)


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM words")).scalar_one())


def _all(writer: GroupCommit, words: Sequence[str], threads: int = 16) -> list[int | Exception]:
    def one(word: str) -> int | Exception:
        try:
            return writer.run(_add, word)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, words))


def test_every_thread_is_answered_after_its_work_is_kept(table: Engine) -> None:
    """An answer means a commit; far fewer commits than answers are needed."""
    answers = _all(GroupCommit(table), [f"word {number}" for number in range(500)])

    assert _count(table) == 500
    assert all(isinstance(answer, int) for answer in answers)
    assert max(answer for answer in answers if isinstance(answer, int)) > 1


def test_one_bad_item_spoils_no_other(table: Engine) -> None:
    """The fault goes to the thread whose work it was."""
    words = [f"word {number % 20}" for number in range(100)]

    answers = _all(GroupCommit(table), words)

    assert _count(table) == 20
    assert sum(isinstance(answer, int) for answer in answers) == 20
    assert all(isinstance(answer, int | IntegrityError) for answer in answers)


def test_different_kinds_of_work_share_a_commit(table: Engine) -> None:
    """Each function gets the items of its own callers."""

    def shout(connection: Connection, words: Sequence[str]) -> list[str]:
        return [word.upper() for word in words]

    writer = GroupCommit(table)
    with ThreadPoolExecutor(8) as pool:
        added = [pool.submit(writer.run, _add, f"{number}") for number in range(50)]
        shouted = [pool.submit(writer.run, shout, f"w{number}") for number in range(50)]

    assert all(future.result() >= 1 for future in added)
    assert [future.result() for future in shouted] == [f"W{number}" for number in range(50)]


def test_what_is_written_last_comes_after_all_else_in_one_call(table: Engine) -> None:
    """The items of one transaction together; none is left over of one that failed, and outside it is done at once."""
    calls: list[tuple[str, ...]] = []

    def count(_connection: Connection, items: Sequence[str]) -> list[None]:
        calls.append(tuple(items))
        return [None] * len(items)

    def work(connection: Connection, items: Sequence[str]) -> list[None]:
        for item in items:
            write_last(connection, count, f"{item}1")
            write_last(connection, count, f"{item}2")
        calls.append(("work",))
        if "bad" in items:
            raise ValueError("bad")
        return [None] * len(items)

    writer = GroupCommit(table)
    writer.run(work, "a")
    with pytest.raises(ValueError, match="bad"):
        writer.run(work, "bad")
    writer.run(work, "b")
    with table.connect() as connection:
        write_last(connection, count, "alone")

    assert calls == [("work",), ("a1", "a2"), ("work",), ("work",), ("b1", "b2"), ("alone",)]


def test_an_answer_may_be_none(table: Engine) -> None:
    """None is an answer like any other."""

    def nothing(connection: Connection, items: Sequence[int]) -> list[None]:
        return [None] * len(items)

    assert GroupCommit(table).run(nothing, 1) is None


def test_a_locked_database_is_reported_to_all_waiting_callers_and_recovers(table: Engine) -> None:
    """No request is acknowledged for what was not kept, and the next write works."""
    path = str(table.url.database)
    impatient = engine(DbSettings(database_url=f"sqlite:///{path}", db_busy_s=0.05))
    writer = GroupCommit(impatient)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    answers = _all(writer, ["a", "b", "c"], threads=3)

    holder.execute("ROLLBACK")
    holder.close()
    assert all(isinstance(answer, Unreachable) for answer in answers)
    assert _all(writer, ["a"]) == [1]
    assert _count(table) == 1
    impatient.dispose()


def test_a_pool_without_a_free_connection_is_a_database_that_is_away(table: Engine) -> None:
    """All waiting requests get the error together, at once, with the hint to retry later."""
    small = create_engine(table.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with small.connect(), pytest.raises(Unreachable):
        GroupCommit(small).run(_add, "a")

    assert GroupCommit(small).run(_add, "b") == 1
    small.dispose()


def _slow(gate: threading.Event) -> Callable[[Connection, Sequence[str]], list[int]]:
    def add(connection: Connection, words: Sequence[str]) -> list[int]:
        gate.wait(5)
        return _add(connection, words)

    return add


def test_a_caller_without_a_turn_in_time_gets_an_error_and_nothing_is_written(table: Engine) -> None:
    """A false refusal would be sent again; what was refused for time must not appear later."""
    writer = GroupCommit(table, wait_s=0.05)
    gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(writer.run, _slow(gate), "slow")
        while not writer._leading:
            pass
        with pytest.raises(Unreachable, match="no turn"):
            pool.submit(writer.run, _add, "late").result()
        gate.set()
        assert leader.result() == 1

    assert writer.run(_add, "next") == 1
    assert _count(table) == 2


def test_an_interrupted_leader_leaves_no_caller_waiting(table: Engine) -> None:
    """A signal in the leading thread ends its own work; the others get an error and the next leads."""

    def stop(connection: Connection, words: Sequence[str]) -> list[int]:
        raise SystemExit

    writer = GroupCommit(table)
    with pytest.raises(SystemExit):
        writer.run(stop, "x")

    assert writer.run(_add, "y") == 1


def test_two_leaders_write_at_the_same_time(table: Engine) -> None:
    """Servers other than SQLite take several transactions at once; here they queue for the lock, and all is kept."""
    answers = _all(GroupCommit(table, leaders=2), [f"{number}" for number in range(200)])

    assert _count(table) == 200
    assert all(isinstance(answer, int) for answer in answers)


def test_what_is_committed_survives_a_power_cut(table: Engine) -> None:
    """Each connection that writes syncs its log before a commit returns: WAL, and `synchronous` FULL (2)."""

    def look(connection: Connection, items: Sequence[None]) -> list[tuple[str, int]]:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")
        ]
        return [(str(pragmas[0]), int(pragmas[1]))] * len(items)

    writer = GroupCommit(table)
    answers = [writer.run(look, None)]
    table.dispose()
    answers.append(writer.run(look, None))

    assert answers == [("wal", 2), ("wal", 2)]


@pytest.mark.parametrize("name", ["mariadb_server", "postgres_server"])
def test_what_two_processes_write_at_once_is_kept_once(name: str, request: pytest.FixtureRequest) -> None:
    """Each looks first and adds what is missing; the one that comes second looks again, and finds it."""
    server: DatabaseServer = request.getfixturevalue(name)
    url = server.url(database=server.create_database())
    both_have_looked = threading.Barrier(2)

    def add_missing(connection: Connection, words: Sequence[str]) -> list[bool]:
        known = set(connection.execute(text("SELECT word FROM words")).scalars())
        if words[0] not in known:
            with suppress(threading.BrokenBarrierError):
                both_have_looked.wait(0.5)
            connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": words[0]})
        return [words[0] not in known]

    def write(engine: Engine) -> list[bool]:
        writer = GroupCommit(engine)
        return [writer.run(add_missing, f"word {number}") for number in range(3)]

    engines = [create_engine(url) for _ in range(2)]
    with engines[0].begin() as connection:
        connection.execute(text("CREATE TABLE words (word VARCHAR(20) PRIMARY KEY)"))
    with ThreadPoolExecutor(2) as pool:
        was_new = list(pool.map(write, engines))
    assert sorted(was_new[0] + was_new[1]) == [False] * 3 + [True] * 3
    assert _count(engines[0]) == 3
    for one in engines:
        one.dispose()


def test_sqlite_waits_for_the_disk_unless_no_writer_of_the_transaction_wants_it(table: Engine) -> None:
    """What a power cut may undo is written by itself only; what may not is on the disk at every commit."""
    writer = GroupCommit(table)

    def ask(connection: Connection, items: Sequence[None]) -> list[int]:
        return [int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())] * len(items)

    normal, full = 1, 2
    wanted = [full, normal, normal, full, full, normal, full]
    assert [writer.run(ask, None, durable=one == full) for one in wanted] == wanted
    with table.begin() as connection:
        assert ask(connection, [None]) == [full]
