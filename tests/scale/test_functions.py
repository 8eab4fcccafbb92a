"""The engine `sqs`: the queue can fail in any way, functions run each row once."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.journeys.zygote import eventually
from tests.scale.kit import Base

from carboy.aws.clients import forget
from carboy.clock import SYSTEM_CLOCK
from carboy.db import GroupCommit
from carboy.jobs import Job, JobsSettings, JobStore, Ready, Registry, put, row_of
from carboy.jobs.sqs import SqsEngine
from carboy.redact import Secret
from carboy.testing.processes import moto_server, require

pytestmark = pytest.mark.parametrize("server", ["postgres_server"], indirect=True, ids=["postgres"])


def test_rows_are_done_once_though_the_queue_is_lost_and_then_away(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two functions with a trigger each, a schedule that sweeps, and rows that go on being added."""
    done: list[int] = []
    job: Job[[int]] = Job("effect", done.append)
    is_enough, is_over = threading.Event(), threading.Event()
    with require(moto_server) as server, ThreadPoolExecutor(4) as pool:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        forget()
        sqs = server.client("sqs", connect_timeout=1, read_timeout=1)
        patient = server.client("sqs")  # a server that has just started takes seconds on a busy machine
        url = patient.create_queue(QueueName="jobs")["QueueUrl"]
        settings = JobsSettings(jobs_engine="sqs", jobs_broker_url=Secret(url), jobs_sweep_s=1.0)
        writers = [base.writer() for _ in range(3)]
        one, other, adder = (SqsEngine(writer, Registry([job]), settings, context=nullcontext) for writer in writers)
        numbers = count()
        pool.submit(_again, is_enough, lambda: _add(writers[2], adder, job, next(numbers)))
        pool.submit(_again, is_over, lambda: _trigger(sqs, url, one))
        pool.submit(_again, is_over, lambda: _trigger(sqs, url, other))
        pool.submit(_again, is_over, other.sweep)
        try:
            eventually(lambda: len(done) > 10, "they work")
            server.process.restart()
            patient.create_queue(QueueName="jobs")
            seen = len(done)
            eventually(lambda: len(done) > seen + 10, "they work again")
            server.process.freeze()
            time.sleep(1.5)  # longer than they wait for it
            server.process.thaw()
            is_enough.set()
            store = JobStore(base.engine(), base.writer())
            eventually(lambda: store.list(limit=1) != [] and set(_states(store)) == {"done"}, "every row is done")
        finally:
            is_enough.set()
            is_over.set()
            server.process.thaw()
    forget()
    assert sorted(done) == list(range(len(_states(store))))


def _states(store: JobStore) -> list[str]:
    return [row.state for row in store.list(limit=10_000)]


def _again(is_over: threading.Event, act: Callable[[], Any]) -> None:
    while not is_over.wait(0.05):
        with suppress(Exception):  # the queue is away: whoever calls a function calls it again
            act()


def _add(writer: GroupCommit, engine: SqsEngine, job: Job[[int]], number: int) -> None:
    def write(connection: Connection, rows: Sequence[Any]) -> list[None]:
        put(connection, rows)
        return [None] * len(rows)

    row = row_of(job, (number,), now_ms=SYSTEM_CLOCK.now_ms())
    writer.run(write, row)
    engine.notify([Ready(row["id"], job.kind, job.priority, row["run_at"])])


def _trigger(sqs: Any, url: str, engine: SqsEngine) -> None:
    """Do what AWS does: hand a batch to a function, and forget those that it has done."""
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=2)
    messages = answer.get("Messages", ())
    records = [
        {
            "messageId": one["MessageId"],
            "receiptHandle": one["ReceiptHandle"],
            "body": one["Body"],
            "attributes": one["Attributes"],
        }
        for one in messages
    ]
    failed = engine.run(records)
    for record in records:
        if record["messageId"] not in failed:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=record["receiptHandle"])
