"""What was never received is fetched from the source's own lists."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask import Flask

from carboy.services.archive import archive_of
from carboy.services.archive.maintenance import backfill
from carboy.testing.answers import Answer, Request, json_answer
from carboy.testing.http_server import LoopbackServer

START_MS = 1484661060000
LISTED = {
    "v1": [{"id": "a1", "created_at": START_MS}, {"id": "a2", "created_at": "2017-01-17T13:51:00.000Z"}],
    "v2": {"alerts": [{"id": "a1", "createdAt": "2017-01-17T13:51:00.000Z", "severity": 2}], "token": None},
}


def answer(request: Request) -> Answer:
    version = request.path.split("/")[1]
    is_last = request.query.get("page", "0") != "0" or request.query.get("status") == "dismissed"
    return json_answer([] if version == "v1" else {"alerts": []}) if is_last else json_answer(LISTED[version])


@pytest.fixture
def api() -> Iterator[LoopbackServer]:
    with LoopbackServer(answer) as server:
        yield server


@pytest.fixture(params=[1, 2])
def carboy_overrides(request: pytest.FixtureRequest, api: LoopbackServer) -> Mapping[str, Any]:
    return {
        "threatstack_base_url": f"{api.url}/v{request.param}",
        "threatstack_api_version": request.param,
        "threatstack_api_key": "key",
        "threatstack_user_id": "user",
        "threatstack_organization_id": "organization",
        "threatstack_rate": "off",
    }


@pytest.mark.slow
def test_what_the_api_lists_is_accepted_however_it_writes_times(carboy_app: Flask) -> None:
    """Version 2 says `createdAt`, version 1 may say ISO 8601; the second time nothing is new."""
    archive = archive_of(carboy_app)
    assert archive.api is not None
    with carboy_app.app_context():
        first = list(backfill(archive.api, archive.acceptor, START_MS, START_MS + 1000))
        second = list(backfill(archive.api, archive.acceptor, START_MS, START_MS + 1000))

    assert {alert_id for alert_id, _ in first} >= {"a1"}
    assert all(is_new for _, is_new in first)
    assert not any(is_new for _, is_new in second)
    assert len(first) == len(second)
