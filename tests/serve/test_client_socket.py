"""Responses are sent without waiting for the client, as long as they fit the buffer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from carboy.serve.client_socket import BufferBudget, ClientSocket
from carboy.serve.deadlines import Deadlines
from carboy.testing import ManualClock

PAIR = tuple[ClientSocket, socket.socket]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def deadlines(clock: ManualClock) -> Deadlines:
    return Deadlines(max_waiting=1, clock=clock)


@pytest.fixture
def budget() -> BufferBudget:
    return BufferBudget(max_bytes=3_000_000)


@pytest.fixture
def pair(deadlines: Deadlines, budget: BufferBudget) -> Iterator[PAIR]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    with closing(ClientSocket(ours, budget, deadlines, 30.0)) as client, closing(theirs):
        yield client, theirs


def read(theirs: socket.socket, amount: int) -> bytes:
    data = b""
    while len(data) < amount:
        data += theirs.recv(65536)
    return data


def test_a_client_that_reads_nothing_blocks_no_other_client(pair: PAIR) -> None:
    """What it has not read is buffered, and sent in order when it reads."""
    client, theirs = pair
    client.sendall(b"a" * 500_000)
    client.sendall(b"b" * 400_000)
    assert client.unsent
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.append(read(theirs, 900_000)))
    reader.start()

    while not client.flush():
        pass
    reader.join()

    assert seen[0] == b"a" * 500_000 + b"b" * 400_000


def wait_in_vain(client: ClientSocket, errors: list[OSError]) -> None:
    try:
        client.sendall(b"x" * 4_000_000)
    except OSError as error:
        errors.append(error)


def test_a_response_larger_than_the_buffer_waits_and_ends_in_time(
    pair: PAIR, deadlines: Deadlines, clock: ManualClock
) -> None:
    """The thread comes back with an error once the client has read nothing for the whole time."""
    client, _ = pair
    errors: list[OSError] = []
    thread = threading.Thread(target=wait_in_vain, args=(client, errors))
    thread.start()
    while not deadlines.sweep():
        clock.advance(5)
    thread.join()

    assert isinstance(errors[0], BrokenPipeError)


def test_a_spent_budget_is_no_longer_added_to(pair: PAIR, budget: BufferBudget, deadlines: Deadlines) -> None:
    """Many slow readers together do not fill the memory; what a client no longer holds is given back."""
    client, theirs = pair
    budget.change(3_000_001)
    errors: list[OSError] = []
    thread = threading.Thread(target=wait_in_vain, args=(client, errors))
    thread.start()
    read(theirs, 4_000_000)
    thread.join()
    assert errors == []

    budget.change(-3_000_001)
    client.sendall(b"y" * 900_000)
    client.close()
    budget.change(3_000_000)
    assert not budget.is_spent


def test_a_closed_connection_is_an_error(pair: PAIR) -> None:
    """The thread does not wait for it."""
    client, theirs = pair
    theirs.close()

    with pytest.raises(OSError, match=r"pipe|reset"):
        client.sendall(b"x" * 1_000_000)
