"""`kill -9` under load, again and again: every alert that was answered 202 is archived exactly once."""

import random
import threading
from collections.abc import Iterator

import pytest
from tests.journeys.kit import Gateway, until
from tests.journeys.zygote import Process
from tests.lab.load import Call

pytestmark = pytest.mark.journey

NO_JOBS = {"FLASK_JOBS_CONCURRENCY": "0"}


def test_killed_in_the_instant_of_an_answer(gateway: Gateway) -> None:
    """Fifty times the client that reads a 202 kills the server before it does anything else."""
    for _ in range(50):
        server = gateway.start()
        gateway.load(server.url, killing_calls(gateway, server, random.randrange(1, 16)), connections=4)
        server.end()
    gateway.finish()
    assert gateway.statuses == {202}
    assert len(gateway.accepted) >= 50


def test_killed_at_random_moments(gateway: Gateway) -> None:
    """At any moment, also while it starts, takes over, or archives."""
    for _ in range(20):
        server = gateway.start()
        load_until_killed(gateway, server, server, random.random() * 0.3)
    gateway.finish()
    assert gateway.statuses == {202}


def test_killed_while_it_archives_into_a_bucket(bucket_gateway: Gateway) -> None:
    """The same with a real object store, where a put can be answered or not."""
    for _ in range(20):
        server = bucket_gateway.start()
        load_until_killed(bucket_gateway, server, server, random.random() * 0.3)
    bucket_gateway.finish()
    assert bucket_gateway.statuses == {202}


def test_server_and_worker_apart_each_killed(gateway: Gateway) -> None:
    """Two processes on one database: whichever is killed, the other goes on, and the next takes over."""
    server, worker = gateway.start(**NO_JOBS), start_worker(gateway)
    for number in range(20):
        victim = server if number % 2 else worker
        load_until_killed(gateway, server, victim, random.random() * 0.3)
        if victim is server:
            server = gateway.start(**NO_JOBS)
        else:
            worker = start_worker(gateway)
    assert server.stop() == 0
    assert worker.stop() == 0
    gateway.finish()
    assert gateway.statuses == {202}


def start_worker(gateway: Gateway) -> Process:
    return gateway.start("worker", says="Ctrl-C stops")


def killing_calls(gateway: Gateway, server: Process, answers: int) -> Iterator[Call]:
    """Give calls until so many were answered; then kill the server, in the reading of the answer, and end."""
    for number, call in enumerate(gateway.mixed_calls()):
        if number == 4 + answers:  # the first four are asked for before there is any answer
            server.kill()
            return
        yield call


def load_until_killed(gateway: Gateway, server: Process, victim: Process, after_s: float, pause_s: float = 0.0) -> None:
    """Send alerts to a server, with a pause after each, until a while later a process is killed."""
    is_killed = threading.Event()

    def kill() -> None:
        victim.kill()
        is_killed.set()

    killer = threading.Timer(after_s, kill)
    killer.start()
    gateway.load(server.url, until(is_killed, gateway.mixed_calls(), pause_s))
    killer.join()
