"""The archive on a real object store: the tutorial's settings and Carboy's, keys as documented."""

import json
from typing import Any
from uuid import uuid4

import pytest

from carboy.testing.processes import AwsServer

ID = "587c0159a907346eccb84004"
SENT = {"id": ID, "created_at": "1484661060000", "severity": "1"}
WEBHOOK, DETAIL = f"webhooks/2017/01/17/13/51/{ID}", f"alerts/58/7c/{ID}"


def objects(weed: AwsServer, prefix: str) -> dict[str, str]:
    """Return the content type of each object below a prefix, by its key without it."""
    s3 = weed.client("s3")
    found = s3.list_objects_v2(Bucket="archive", Prefix=prefix).get("Contents", [])
    heads = {one["Key"]: s3.head_object(Bucket="archive", Key=one["Key"]) for one in found}
    return {key.removeprefix(prefix): head["ContentType"] for key, head in heads.items()}


@pytest.mark.parametrize("names", ["tutorial", "ours", "endpoint"])
def test_an_alert_goes_to_s3_and_comes_back(
    serve: Any, threat_stack: Any, weed: AwsServer, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    """Both objects exactly under the contract's keys, as JSON; a second sending changes nothing."""
    prefix = f"{uuid4().hex}/threatstack"
    environ = dict(weed.environment)
    given: dict[str, Any] = {"archive_url": f"s3://archive/{prefix}"}
    if names == "tutorial":
        given = {"archive_url": None, "ts_aws_s3_bucket": "archive", "ts_aws_s3_prefix": f"/{prefix}/"}
    if names == "endpoint":
        given["archive_endpoint"] = environ.pop("AWS_ENDPOINT_URL")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    gateway = serve(threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url, **given)

    answers = [gateway.send(SENT) for _ in range(2)]

    assert [answer.get_json()["archived"] for answer in answers] == [1, 1]
    assert objects(weed, f"{prefix}/") == {DETAIL: "application/json", WEBHOOK: "application/json"}
    assert json.loads(gateway.read(WEBHOOK)) == SENT
    told = gateway.get(f"/api/v1/s3/alert/{ID}").get_json()
    assert told["alert"]["agent_id"]
    listed = gateway.get("/api/v1/s3/alert?start=2017-01-17T13:51:00Z&end=2017-01-17T13:52:00Z").get_json()
    assert listed["alerts"] == [told["alert"]]
    assert gateway.get("/api/v1/s3/status").status_code == 200


def test_the_senders_content_type_is_the_objects(serve: Any, weed: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in weed.environment.items():
        monkeypatch.setenv(name, value)
    prefix = uuid4().hex
    gateway = serve(
        archive_url=f"s3://archive/{prefix}",
        toml='[default.archive.sources.it]\nverify = "none"\nid = "header:X-Id"\ntime = "header:X-At"\n',
    )

    gateway.open(
        "POST",
        "/api/v1/webhooks/it?wait=10",
        data=b"<a/>",
        content_type="application/xml; charset=utf-8",
        headers={"X-Id": "a/b", "X-At": "2017-01-17T13:51:00Z"},
    )

    assert objects(weed, f"{prefix}/") == {"webhooks/it/2017/01/17/13/51/a=2Fb": "application/xml; charset=utf-8"}


def test_a_store_that_is_away_is_reported_and_loses_nothing(
    serve: Any, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """The alert is accepted and can be read; `/readyz` and the status name what is away."""
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    gateway = serve(
        archive_url="s3://archive/x",
        archive_endpoint=f"http://127.0.0.1:{free_port}",
        archive_timeout_s="0.3",
        archive_connect_timeout_s="0.2",
    )

    assert gateway.post("/api/v1/s3/alert", json={"alerts": [SENT]}).status_code == 202
    assert gateway.get(f"/api/v1/s3/alert/{ID}").get_json()["alert"] == SENT
    told = gateway.get("/api/v1/s3/status")
    assert told.status_code == 503
    assert told.get_json()["s3"]["reason"]
    ready = gateway.get("/readyz")
    assert (ready.status_code, ready.get_json()["degraded"]) == (200, ["object store"])
