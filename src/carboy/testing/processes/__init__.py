"""Real servers for tests, each a private process on free ports with a folder of its own."""

from carboy.testing.processes.aws import AwsServer, moto_server, seaweedfs
from carboy.testing.processes.brokers import BrokerServer, rabbitmq, redis
from carboy.testing.processes.databases import DatabaseServer, mariadb, postgres
from carboy.testing.processes.proxies import ProxyServer, nginx
from carboy.testing.processes.running import MissingBinary, ServerProcess, require, run_process

__all__ = [
    "AwsServer",
    "BrokerServer",
    "DatabaseServer",
    "MissingBinary",
    "ProxyServer",
    "ServerProcess",
    "mariadb",
    "moto_server",
    "nginx",
    "postgres",
    "rabbitmq",
    "redis",
    "require",
    "run_process",
    "seaweedfs",
]
