"""A taken port is an error, and a quiet socket keeps the connections that it has."""

import socket
import sys

import pytest

from carboy.errors import CarboyError, UsageError
from carboy.serve.listener import address_of, open_listener, quiet


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    """Two servers never share a port silently."""
    with open_listener("127.0.0.1", 0) as first:
        port = first.getsockname()[1]

        with pytest.raises(CarboyError) as caught:
            open_listener("127.0.0.1", port)

    assert (caught.value.exit_code, "taken" in caught.value.why, "--port" in caught.value.hint) == (1, True, True)


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host"])
def test_a_host_of_another_machine_is_refused(host: str) -> None:
    """The error names the option."""
    with pytest.raises(UsageError, match="not an address of this machine"):
        open_listener(host, 0)


def test_the_address_is_one_that_a_browser_here_can_open() -> None:
    """0.0.0.0 is not an address to connect to."""
    with open_listener("0.0.0.0", 0) as listener:  # noqa: S104
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter is Linux's")
def test_a_quiet_socket_keeps_what_the_kernel_accepted_and_makes_nothing_new() -> None:
    """Those who are connected are served, those who come later find the next server."""
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as waiting:
        quiet(listener)

        with socket.socket() as late:
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            waiting.sendall(b"hello")
            assert accepted.recv(5) == b"hello"
