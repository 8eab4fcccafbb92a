"""What a start with 100 parameters and 20 secrets waits for, at 20 ms a call, against one call for each.

A server on loopback answers every call after 20 ms. Both sides use the real boto3, its clients made beforehand.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from carboy.testing import Answer, LoopbackServer, Request

CALL_S = 0.02
PARAMETERS, SECRETS = 100, 20
TURNS = 5
AIM = 20


def _answer(request: Request) -> Answer:
    asked, operation = request.json(), request.headers["x-amz-target"].rpartition(".")[2]
    found: dict[str, Any]
    if operation == "GetParametersByPath":
        first = int(asked.get("NextToken", 0))
        numbers = range(first, min(first + 10, PARAMETERS))
        found = {"Parameters": [{"Name": f"/dev_flask/own/p{one}", "Value": f"v{one}"} for one in numbers]}
        found |= {"NextToken": str(first + 10)} if first + 10 < PARAMETERS else {}
    elif operation == "GetParameters":
        found = {"Parameters": [{"Name": name, "Value": "v"} for name in asked["Names"]]}
    elif operation == "GetParameter":
        found = {"Parameter": {"Name": asked["Name"], "Value": "v"}}
    elif operation == "BatchGetSecretValue":
        found = {"SecretValues": [_secret(name) for name in asked["SecretIdList"]], "Errors": []}
    else:
        found = _secret(asked["SecretId"])
    return Answer(200, json.dumps(found).encode(), delay_s=CALL_S)


def _secret(name: str) -> dict[str, Any]:
    return {"Name": name, "VersionId": "v" * 32, "SecretString": '{"password": "p"}'}


def run() -> None:
    """Print the time that each way takes, and the ratio."""
    with LoopbackServer(_answer) as server, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        session = boto3.session.Session()
        clients = session.client("ssm"), session.client("secretsmanager")
        one_each = _best(lambda: _one_each(*clients))
        print(f"{'':44}{'ms':>8}{'times faster':>14}")
        print(f"{'one call each':44}{one_each * 1e3:8.0f}{1.0:14.1f}")
        ways = {"carboy, parameters by reference, in tens": False, "carboy, parameters by path": True}
        for name, by_path in ways.items():
            took = _best(partial(_carboy, Path(folder), by_path))
            print(f"{name:44}{took * 1e3:8.0f}{one_each / took:14.1f}{'' if by_path else f'   aim: {AIM}'}")
        print("\nBy path each page names the next one, so that they cannot be asked for side by side.")


def _best(start: Callable[[], object]) -> float:
    times = []
    for _ in range(TURNS):
        began = time.perf_counter()
        start()
        times.append(time.perf_counter() - began)
    return min(times)


def _one_each(ssm: Any, secrets: Any) -> None:
    for number in range(PARAMETERS):
        ssm.get_parameter(Name=f"/dev_flask/own/p{number}", WithDecryption=True)
    for number in range(SECRETS):
        json.loads(secrets.get_secret_value(SecretId=f"/dev/s{number}")["SecretString"])


def _carboy(folder: Path, by_path: bool) -> None:
    from carboy.config import read_sources
    from carboy.web import load_settings

    values = {f"secret_{number}": f"aws-secretsmanager:/dev/s{number}#password" for number in range(SECRETS)}
    if not by_path:
        values |= {f"p{number}": f"aws-parameterstore:/dev_flask/own/p{number}" for number in range(PARAMETERS)}
    environ = {"FLASK_PROFILE": "dev", "PARAMETER_STORE": "on" if by_path else "off"}
    settings, _ = load_settings(lambda *_: [], lambda: read_sources(folder=folder, environ=environ, overrides=values))
    assert settings["SECRET_7"] == "p"
