"""The gateway with stand-ins for its providers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.lab.migrated import migrated_url
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import TEMPLATES, MakeService, Service, account_of

from carboy import logs
from carboy.testing import ManualClock
from carboy.web import create_app, runtime


@pytest.fixture(scope="session")
def instance_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the document is parsed once."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture
def make_service(tmp_path: Path, instance_path: Path) -> Iterator[MakeService]:
    """Makes gateways over stand-ins: `make_service(stand_in, …, setting=value)`."""
    made: list[Flask] = []

    def make(*stand_ins: SmsProvider, profile: str = "test", **settings: Any) -> Service:
        clock = ManualClock(start_ms=1_767_225_600_000)
        accounts: dict[str, Any] = {}
        for stand_in in stand_ins:
            accounts |= account_of(stand_in)
        given = {
            "modules": "carboy.services.sms",
            "instance_path": str(instance_path),
            "sms_outbox": str(tmp_path / "outbox.jsonl"),
            "log_format": "json",
            "auth": "off",
            "sms_templates": TEMPLATES,
            "sms_provider": ",".join(one.kind for one in stand_ins) or "outbox",
            "sms_timeout_s": 10.0,
            "sms_connect_timeout_s": 10.0,
            **accounts,
            **settings,
        }
        if "database_url" not in given:
            given["database_url"] = migrated_url(tmp_path / "carboy.db", given["modules"])
        app = create_app(profile, folder=tmp_path, clock=clock, **given)
        made.append(app)
        return Service(app, app.test_client(), clock)

    yield make
    for app in made:
        runtime(app).close()
    logs.reset()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """A gateway with the outbox."""
    return make_service()


@pytest.fixture
def stand_in() -> Iterator[Callable[..., SmsProvider]]:
    """Starts stand-ins whose clock is that of `make_service`."""
    with ExitStack() as stack:
        yield lambda kind, **control: stack.enter_context(
            SmsProvider(kind, **{"wall_s": lambda: 1_767_225_600.0, "skew_s": 1e9, **control})
        )
