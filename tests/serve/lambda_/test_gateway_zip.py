"""The zip of `deploy/lambda` under AWS's own runtime client: from an HTTP event to an object in the bucket."""

import json
import re
import shutil
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from uuid import uuid4

from packaging.requirements import Requirement
from tests.bundle.wheelhouse import repack
from tests.lab.runtime_interface import LocalFunction
from tests.serve.lambda_.queues import Trigger

from carboy.bundle import BuildOptions, build
from carboy.testing.events import http_v2
from carboy.testing.processes import AwsServer

ROOT = Path(__file__).parents[3]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {"carboy", "psycopg", "psycopg-binary", "pymysql", "phonenumbers"}  # nothing here asks for a database


def _needed(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return what a distribution with these extras needs, all the way down."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        found.add(one[0])
        for line in distribution(one[0]).requires or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*one[1], "")):
                waiting.append((need.name.lower().replace("_", "-"), frozenset(need.extras)))
    return found - _LEFT_OUT


def test_the_zip_of_the_gateway_archives_a_webhook(moto: AwsServer, tmp_path: Path) -> None:
    """Built as the how-to says; Carboy and the rest come from wheels of what is installed here."""
    project, task = tmp_path / "gateway", tmp_path / "task"
    shutil.copytree(ROOT / "deploy" / "lambda", project)
    assert (project / "requirements.txt").read_text().splitlines()[-1].startswith("carboy[archive,sms]")
    needed = sorted(_needed("carboy", frozenset({"archive"})))
    (project / "wheels").mkdir()
    repack(project / "wheels", *needed)
    for wheel in (project / "wheels").glob("*-manylinux_2_3*.whl"):  # they run here, on whatever Lambda has
        wheel.rename(wheel.with_name(re.sub(r"manylinux_2_3\d", "manylinux_2_17", wheel.name)))
    (project / "requirements.txt").write_text("\n".join(["--no-index", "--find-links ./wheels", *needed]) + "\n")
    (project / "carboy").symlink_to(ROOT / "src" / "carboy")
    options = BuildOptions(project, python=PYTHON, keep_services=["sqs"], cache_dir=tmp_path / "cache")
    with zipfile.ZipFile(build(options).target) as zipped:
        zipped.extractall(task)
    sqs, s3, name = moto.client("sqs"), moto.client("s3"), f"zip-{uuid4().hex[:12]}"
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "720"})["QueueUrl"]
    s3.create_bucket(Bucket=name)
    alert = {"id": "587c0159a907346eccb84004", "created_at": 1484661060000}
    environ = {
        **moto.environment,
        "FLASK_PROFILE": "test",
        "FLASK_AUTH": "off",
        "FLASK_JOBS_BROKER_URL": url,
        "FLASK_ARCHIVE_URL": f"s3://{name}/archive",
        "FLASK_INSTANCE_PATH": str(tmp_path / "instance"),
    }

    with LocalFunction(task, "handler.handler", environ=environ) as function:
        body = json.dumps({"alerts": [alert]}).encode()
        accepted = function.invoke(http_v2("POST", "/api/v1/s3/alert", body=body))
        assert accepted.answer["statusCode"] == 202, (accepted, function.output)
        event = Trigger(sqs, url).take()
        assert function.invoke(event).answer == {"batchItemFailures": []}, function.output
        assert function.invoke({"source": "carboy", "detail-type": "sweep"}).answer == {"sent": 0}

    (kept,) = s3.list_objects_v2(Bucket=name)["Contents"]
    assert kept["Key"] == "archive/webhooks/2017/01/17/13/51/587c0159a907346eccb84004"
