"""Turns at a destination: whichever process has one, what waits always has a job that comes back to it."""

from typing import Any

import pytest
from sqlalchemy import text
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy.errors import Unreachable
from carboy.jobs import make_owner
from carboy.services.archive.destinations.rows import Begin, Finish, Take, Wake, begin, finish, take, wake
from carboy.services.archive.destinations.store import SetPaused, set_paused
from carboy.testing import Answer, LoopbackServer, ManualClock
from carboy.web import runtime

WAIT_MS = 60_000


class Processes:
    """Processes that have turns at one destination, for which a delivery waits for a minute."""

    def __init__(self, serve: Serve) -> None:
        self.clock = ManualClock()
        toml = table("https://10.255.255.1/", 'retry = ["60s"]')
        self.gateway: Gateway = operator(serve(toml=toml, clock=self.clock, jobs_concurrency=0))
        self.job = self.gateway.archive.destinations.deliverer.job
        self.due_ms = self.clock.now_ms() + WAIT_MS
        answer = self.gateway.post("/api/v1/s3/alert", json={"alerts": [ALERT]})
        assert answer.status_code == 202
        self.end_jobs()

    def write(self, apply: Any, item: Any) -> Any:
        return runtime(self.gateway.app).writer.run(apply, item)

    def begin(self, owner: str, now_ms: int) -> bool:
        return self.write(begin, Begin("siem", owner, now_ms, now_ms + 15_000)) is not None

    def finish(self, owner: str, now_ms: int) -> None:
        self.write(finish, Finish("siem", owner, now_ms, self.job))

    def end_jobs(self) -> None:
        """Have the jobs that are queued ended, as if each had run and come to nothing."""
        with runtime(self.gateway.app).engine.begin() as connection:
            connection.execute(text("UPDATE carboy_jobs SET state = 'done', finished_at = run_at"))

    def due_jobs_ms(self) -> list[int]:
        query = "SELECT run_at FROM carboy_jobs WHERE kind = 'archive.deliver' AND state = 'queued' ORDER BY run_at"
        with runtime(self.gateway.app).engine.connect() as connection:
            return [row.run_at for row in connection.execute(text(query))]


@pytest.fixture
def processes(serve: Serve) -> Processes:
    return Processes(serve)


def wait_for_the_next_attempt(processes: Processes) -> tuple[str, str]:
    """Have one process end its turn, and another begin one just before the delivery falls due; return both."""
    one, two = make_owner(), make_owner()
    assert processes.begin(one, processes.due_ms - 10_000)
    processes.finish(one, processes.due_ms - 9_000)
    assert processes.due_jobs_ms() == [processes.due_ms]
    assert processes.begin(two, processes.due_ms - 1_000)
    return one, two


def test_a_job_that_finds_another_at_work_is_made_up_for(processes: Processes) -> None:
    """The job of the next attempt runs while another turn ends that looked at the time a moment before."""
    one, two = wait_for_the_next_attempt(processes)

    assert not processes.begin(one, processes.due_ms + 1)
    processes.end_jobs()
    processes.finish(two, processes.due_ms - 2)

    assert processes.due_jobs_ms() == [processes.due_ms]


def test_it_is_made_up_for_after_a_resume_too(processes: Processes) -> None:
    """Resuming queues a job of its own only where no process is at work."""
    one, two = wait_for_the_next_attempt(processes)

    assert not processes.begin(one, processes.due_ms + 1)
    processes.end_jobs()
    processes.write(set_paused, SetPaused("siem", "", processes.job, processes.due_ms + 2))
    assert processes.due_jobs_ms() == []
    processes.finish(two, processes.due_ms - 2)

    assert processes.due_jobs_ms() == [processes.due_ms]


def test_what_is_woken_after_its_process_was_lost_gets_a_job(processes: Processes) -> None:
    """The lease has ended: nothing will look again."""
    one, _ = wait_for_the_next_attempt(processes)

    assert not processes.begin(one, processes.due_ms + 1)
    processes.end_jobs()
    late_ms = processes.due_ms + 60_000
    processes.write(wake, Wake("siem", processes.job, late_ms, is_forced=True))

    assert processes.due_jobs_ms() == [late_ms]


def test_turns_that_end_before_the_next_attempt_have_one_job_for_it(processes: Processes) -> None:
    one, two = wait_for_the_next_attempt(processes)
    processes.finish(two, processes.due_ms - 900)

    for at in range(5):
        assert processes.begin(one, processes.due_ms - 800 + at)
        processes.finish(one, processes.due_ms - 800 + at)

    assert processes.due_jobs_ms() == [processes.due_ms]


def test_what_was_taken_without_an_answer_is_due_at_the_end_of_the_turn(processes: Processes) -> None:
    """The commit was not confirmed to the process; the delivery would wait for ten minutes otherwise."""
    owner, now_ms = make_owner(), processes.due_ms + 1
    assert processes.begin(owner, now_ms)
    taken = processes.write(take, Take(Begin("siem", owner, now_ms, now_ms + 15_000), 8, now_ms + 600_000))
    assert len(taken[1]) == 1

    processes.finish(owner, now_ms)

    assert processes.due_jobs_ms() == [now_ms]


@pytest.mark.slow
@pytest.mark.parametrize("apply", [begin, take, finish])
def test_a_write_whose_commit_was_not_confirmed_delays_no_delivery(
    apply: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database took longer than a write may take, and wrote it all the same; also while the next event comes."""
    with LoopbackServer(Answer()) as receiver:
        gateway = operator(serve(toml=table(receiver.url)))
        writer = runtime(gateway.app).writer
        run = type(writer).run
        lost: list[Any] = []

        def run_without_an_answer(self: Any, wanted: Any, item: Any, *, durable: bool = True) -> Any:
            answer = run(self, wanted, item, durable=durable)
            if wanted is apply and not lost:
                lost.append(item)
                raise Unreachable("the write was not committed", "there was no answer within 3 s", "")
            return answer

        monkeypatch.setattr(type(writer), "run", run_without_an_answer)
        gateway.send(ALERT)
        until(lambda: lost)
        gateway.send({**ALERT, "id": "another"})

        until(lambda: len(ended(gateway)()) == 2, 10)
        assert len(receiver.requests) == 2
