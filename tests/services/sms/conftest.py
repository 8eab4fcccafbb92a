"""The gateway with stand-ins for its providers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from tests.lab.sms_providers import SmsProvider
from werkzeug.test import TestResponse

from carboy import logs
from carboy.services.sms import Gateway, sms_of
from carboy.testing import ManualClock
from carboy.web import Runtime, create_app, runtime

TEMPLATES = {
    "captcha": {
        "params": ["code"],
        "otp": True,
        "text": "Your code is {code}",
        "aliyun": "SMS_71390007",
        "huawei": {"id": "8ff55eac", "params": ["code"]},
        "tencent": "1234",
    },
    "notice": {
        "params": ["name", "day"],
        "text": "Hello {name}, see you on {day}",
        "aliyun": "SMS_2",
        "huawei": {"id": "h2", "params": ["day", "name"]},
        "tencent": {"id": "t2", "params": ["day", "name"]},
    },
}


def account_of(stand_in: SmsProvider) -> dict[str, Any]:
    """Return the settings with which the gateway reaches a stand-in."""
    control, url = stand_in.state.control, stand_in.url
    return {
        "aliyun": {
            "aliyun_url": url,
            "aliyun_sms_app_key": control.key,
            "aliyun_sms_app_secret": control.secret,
            "aliyun_sms_sign_name": "阿里云",
        },
        "huawei": {
            "huawei_url": url,
            "huawei_sms_app_key": control.key,
            "huawei_sms_app_secret": control.secret,
            "huawei_sms_sender_id": "8823",
        },
        "twilio": {
            "twilio_url": url,
            "twilio_account_sid": control.key,
            "twilio_auth_token": control.secret,
            "twilio_from": "+14155550100",
        },
        "tencent": {
            "tencent_url": url,
            "tencent_secret_id": control.key,
            "tencent_secret_key": control.secret,
            "tencent_sdk_app_id": "1400006666",
            "tencent_sign_name": "腾讯云",
        },
        "aws": {
            "aws_sms_url": url,
            "aws_sms_access_key_id": control.key,
            "aws_sms_secret_access_key": control.secret,
            "aws_sms_origination": "+14155550100",
        },
        "sns": {
            "sns_url": url,
            "aws_sms_access_key_id": control.key,
            "aws_sms_secret_access_key": control.secret,
            "aws_sms_sender_id": "Example",
        },
    }[stand_in.kind]


@dataclass(frozen=True)
class Service:
    """The gateway as a caller and an operator see it."""

    app: Flask
    client: FlaskClient
    clock: ManualClock

    @property
    def held(self) -> Runtime:
        return runtime(self.app)

    @property
    def gateway(self) -> Gateway:
        return sms_of(self.app)

    def send(self, path: str = "/api/sms", headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
        wanted = {"receivers": "+8613800000000", "template": "notice", "params": {"name": "Li", "day": "Monday"}}
        return self.client.post(path, json={**wanted, **body}, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        return self.client.post(path, json=body, headers=headers)

    def run_jobs(self) -> None:
        """Do what is due now, here and once."""
        from carboy.jobs.definitions import Commit, Done, Outcome, plan_failure
        from carboy.jobs.rows import LeaseRequest, Settled, settle, take

        held = self.held
        now_ms = self.clock.now_ms()
        registry = held.jobs.registry
        wish = LeaseRequest("test", registry.kinds, registry.priorities, 1000, now_ms, now_ms + 60_000)
        for row in held.writer.run(take, wish).rows:
            one = registry.get(row.kind)
            outcome: Outcome = Done()
            try:
                with self.app.app_context():
                    result = one.function(*row.args)
            except Exception as error:  # noqa: BLE001 (as the engine does)
                outcome = plan_failure(one, row.attempt, error, self.clock.now_ms())
            else:
                if isinstance(result, Commit):
                    held.writer.run(result.apply, result.item)
            held.writer.run(settle, Settled(row.id, "test", row.attempt, outcome, self.clock.now_ms()))

    def message(self, request: str) -> dict[str, Any]:
        """Return the only message of a request."""
        [message] = self.client.get(f"/api/sms/{request}").json["messages"]  # type: ignore[index]
        found: dict[str, Any] = message
        return found

    def sent_now(self, **body: Any) -> dict[str, Any]:
        """Send a text, do the work, and return what became of it."""
        answer = self.send(**body)
        assert answer.status_code == 202, answer.json
        self.run_jobs()
        assert answer.json is not None
        return self.message(answer.json["id"])


MakeService = Callable[..., Service]


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
            "database_url": f"sqlite:///{tmp_path}/carboy.db",
            "sms_outbox": str(tmp_path / "outbox.jsonl"),
            "log_format": "json",
            "auth": "off",
            "sms_templates": TEMPLATES,
            "sms_provider": ",".join(one.kind for one in stand_ins) or "outbox",
            "sms_timeout_s": 0.3,
            "sms_connect_timeout_s": 0.3,
            **accounts,
            **settings,
        }
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


def outbox(service: Service) -> list[dict[str, Any]]:
    """Return the lines of the outbox."""
    path = service.gateway.settings.sms_outbox
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
