"""Responses are sent without waiting for the client, as long as they fit the buffer."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize("size", [1, 65_536, 900_000])
def test_a_head_leaves_with_the_first_bytes_of_its_body(pair: PAIR, size: int) -> None:
    """One call to the kernel for both; what follows is sent as it comes."""
    client, theirs = pair
    client.holds_head = True

    client.sendall(b"head")
    with pytest.raises(BlockingIOError):
        theirs.recv(1, socket.MSG_DONTWAIT)
    client.sendall(memoryview(b"b" * size))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(read, theirs, 4 + size)
        while not client.flush():
            pass
    client.sendall(b"more")

    assert found.result() == b"head" + b"b" * size
    assert theirs.recv(100) == b"more"


def test_a_head_without_a_body_leaves_at_the_end_of_the_response(pair: PAIR) -> None:
    """And the next response is not held by what was set for this one."""
    client, theirs = pair
    client.holds_head = True
    client.sendall(b"head")
    client.release_head()
    assert theirs.recv(100) == b"head"

    client.holds_head = True
    client.release_head()
    client.sendall(b"refused before its head")
    assert theirs.recv(100) == b"refused before its head"


def test_a_head_whose_client_is_gone_raises_nothing(pair: PAIR) -> None:
    """Its connection ends where the next request would be read."""
    client, theirs = pair
    client.holds_head = True
    client.sendall(b"head")
    theirs.close()

    client.release_head()

    with pytest.raises(OSError, match=r"pipe|reset"):
        client.sendall(b"x")


@pytest.mark.parametrize("flags", [(True,), (False,), (True, False, True), (False, False), (False, True, True)])
def test_the_mode_of_a_socket_is_the_last_one_that_was_set(pair: PAIR, flags: tuple[bool, ...]) -> None:
    """Setting the mode that it has already is no call to the kernel, and changes nothing."""
    client, _ = pair
    for flag in flags:
        client.setblocking(flag)

    assert client.getblocking() is flags[-1]
    assert os.get_blocking(client.fileno()) is flags[-1]


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
