"""Real servers for tests, each a private process on free ports with a folder of its own."""

from carboy.testing.processes.aws import AwsServer, moto_server, seaweedfs
from carboy.testing.processes.running import MissingBinary, ServerProcess, run_process

__all__ = ["AwsServer", "MissingBinary", "ServerProcess", "moto_server", "run_process", "seaweedfs"]
