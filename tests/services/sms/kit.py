"""Helpers shared by the tests of `services/sms`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from tests.lab.sms_providers import SmsProvider
from werkzeug.test import TestResponse

from carboy.services.sms import Gateway, sms_of
from carboy.testing import ManualClock
from carboy.web import Runtime, runtime

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
        from carboy.jobs.job_rows import LeaseRequest, Settled, settle, take

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


def outbox(service: Service) -> list[dict[str, Any]]:
    """Return the lines of the outbox."""
    path = service.gateway.settings.sms_outbox
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
