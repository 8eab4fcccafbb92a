"""Redis and RabbitMQ from Debian's packages, as private processes."""

import glob
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from carboy.testing.ports import HOST, free_port, free_ports
from carboy.testing.processes.running import ServerProcess, find_binary, run_process, server_folder


@dataclass(frozen=True, slots=True)
class BrokerServer:
    """A running message broker.

    Attributes:
        process: to restart, kill or freeze it.
        port: on loopback.
        url: as Celery takes it.
        host: loopback.
    """

    process: ServerProcess
    port: int
    url: str
    host: str = HOST


@contextmanager
def redis(is_kept: bool = False) -> Iterator[BrokerServer]:
    """Run Redis.

    Args:
        is_kept: write what comes to its append-only file; else `restart` loses all.

    Raises:
        MissingBinary: the Debian package `redis-server` is not installed.
    """
    binary = find_binary("redis-server", "redis-server")
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "yes" if is_kept else "no"]
    with run_process([binary, *options], ready=lambda _: _ask(port, b"PING\r\n") == b"+PONG\r\n") as process:
        yield BrokerServer(process, port, f"redis://{HOST}:{port}/0")


@contextmanager
def rabbitmq() -> Iterator[BrokerServer]:
    """Run RabbitMQ, with an Erlang port mapper of its own; durable queues outlive `restart`. Starts in about 7 s.

    Raises:
        MissingBinary: the Debian package `rabbitmq-server` is not installed.
    """
    package = "rabbitmq-server"
    folders = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"), reverse=True)
    binary = find_binary("rabbitmq-server", package, *folders)
    mapper = find_binary("epmd", package)
    port, dist_port, mapper_port = free_ports(3)
    with server_folder() as folder:
        environment = {
            "HOME": str(folder),  # of the Erlang cookie
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",  # let it be ended while it still believes in a killed broker
            "RABBITMQ_NODENAME": "carboy@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        try:
            with run_process(
                [binary],
                ready=lambda _: _ask(port, b"AMQP\x00\x00\x09\x01")[:1] == b"\x01",  # a method frame: Connection.Start
                folder=folder,
                environment=environment,
            ) as process:
                yield BrokerServer(process, port, f"amqp://guest:guest@{HOST}:{port}//")
        finally:
            subprocess.run([mapper, "-port", str(mapper_port), "-kill"], capture_output=True, check=False, timeout=30)


def _ask(port: int, question: bytes) -> bytes:
    """Return the first bytes of an answer; none where there is no answer."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""
