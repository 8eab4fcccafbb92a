"""What reading a cached secret costs: Carboy's against AWS's own cache and Powertools.

The peers are installed into an environment of their own, and every contender, ours too, is measured there, each in a
process of its own, in turns, the best counting. All read the same secret from the same client in memory.
"""

import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["aws-secretsmanager-caching>=1.1", "aws-lambda-powertools>=3.20", "boto3"]
OURS = ["flask", "structlog", "orjson", "msgspec", "click"]  # what carboy itself needs
TURNS = 5
AIMS = {"aws-secretsmanager-caching": 30, "Powertools": 10}

NAME = "/dev/flask-rds"
ANSWER = {"VersionId": "v" * 32, "VersionStages": ["AWSCURRENT"], "SecretString": '{"password":"p"}'}


class Client:
    """What the contenders ask of boto3's client."""

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        return dict(ANSWER, Name=NAME)

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"VersionIdsToStages": {ANSWER["VersionId"]: ["AWSCURRENT"]}}


def _floor() -> Callable[[], object]:
    kept, now = {NAME: ("p", time.monotonic() + 1e6)}, time.monotonic

    def get(name: str) -> str:
        value, until = kept[name]
        if now() < until:
            return value
        raise KeyError(name)

    return lambda: get(NAME)


def _carboy() -> Callable[[], object]:
    from carboy.aws import SecretCache

    get = SecretCache(Client()).get
    return lambda: get(NAME)


def _aws() -> Callable[[], object]:
    from aws_secretsmanager_caching import SecretCache

    get = SecretCache(client=Client()).get_secret_string
    return lambda: get(NAME)


def _powertools() -> Callable[[], object]:
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    get = SecretsProvider(boto3_client=Client()).get
    return lambda: get(NAME, max_age=1_000_000)


CONTENDERS = {
    "a dict and a clock": _floor,
    "carboy": _carboy,
    "aws-secretsmanager-caching": _aws,
    "Powertools": _powertools,
}


def run() -> None:
    """Print the microseconds of a read, and each peer's as a multiple of Carboy's."""
    from benchmarks import peers  # not for those who run this file in an environment of their own

    python = str(peers.environment_or_none("secrets", *PACKAGES, *OURS) or sys.executable)
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for name in CONTENDERS:
            environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            command = [python, "-P", __file__, name]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=name == "carboy")
            if done.returncode == 0:
                best[name] = min(best.get(name, 1e9), float(done.stdout))
    ours = best["carboy"]
    print(f"{'a cached read by':30}{'µs':>8}{'× ours':>10}")
    for name in CONTENDERS:
        if name not in best:
            print(f"{name:30}could not be measured")
            continue
        aim = f"   aim: {AIMS[name]}" if name in AIMS else "   aim: 0.2 µs" if name == "carboy" else ""
        print(f"{name:30}{best[name]:8.3f}{best[name] / ours:10.1f}{aim}")


def _measure(name: str) -> float:
    read = CONTENDERS[name]()
    read()
    count = 20_000
    return min(timeit.repeat(read, number=count, repeat=5)) / count * 1e6


if __name__ == "__main__":
    print(_measure(sys.argv[1]))
