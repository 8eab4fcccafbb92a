"""A provider of a user's own: one class and one setting."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import pytest
from tests.services.sms.kit import MakeService

from carboy.config import load, read_sources
from carboy.errors import ConfigurationError
from carboy.redact import Secret
from carboy.services.sms import Message, Outcome, Request, Response
from carboy.services.sms.providers import Inbound
from carboy.services.sms.settings import SmsSettings
from carboy.testing import LoopbackServer
from carboy.testing.answers import json_answer


@dataclass(frozen=True)
class PigeonAccount:
    url: str
    token: Secret


class Pigeon:
    account_type: ClassVar[type] = PigeonAccount
    needs: ClassVar[str] = "text"
    max_receivers: ClassVar[int] = 1

    def build_request(self, message: Message, account: PigeonAccount) -> Request:
        headers = {"Authorization": f"Bearer {account.token.reveal()}"}
        return Request("POST", f"{account.url}/fly", headers, message.text.encode())

    def read_response(self, response: Response) -> Outcome | Mapping[str, Outcome]:
        return Outcome("accepted", provider_id=response.json()["feather"])


class CarrierPigeon(Pigeon):
    inbound_answer: ClassVar[tuple[int, str, str]] = (200, "text/plain", "coo")

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        return [Inbound("i1", "+8613800000000", "loft", body.decode())]


@pytest.fixture
def coop(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("carboy_test_coop")
    vars(module).update(Pigeon=Pigeon, CarrierPigeon=CarrierPigeon)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}:Pigeon"


def test_one_class_and_one_setting_add_a_provider(make_service: MakeService, coop: str) -> None:
    with LoopbackServer(json_answer({"feather": "f1"})) as server:
        table = {"use": coop, "url": server.url, "token": "t0k"}
        service = make_service(sms_provider="pigeon", sms_providers={"pigeon": table})
        message = service.sent_now()
    assert (message["state"], message["provider_id"]) == ("sent", "f1")
    assert server.requests[0].headers["authorization"] == "Bearer t0k"


def test_a_provider_may_pass_on_messages_and_report_no_deliveries(make_service: MakeService, coop: str) -> None:
    table = {"use": coop.replace(":", ":Carrier"), "url": "http://localhost", "token": "t0k"}
    service = make_service(sms_provider="pigeon", sms_providers={"pigeon": table}, sms_receipt_tokens="a-path-token")

    answer = service.client.post("/api/sms/inbound/pigeon/a-path-token", data=b"bread")
    refused = service.client.post("/api/sms/receipts/pigeon/a-path-token", data=b"bread")

    assert (answer.status_code, answer.data) == (200, b"coo")
    [kept] = service.client.get("/api/sms/inbound").json["messages"]  # type: ignore[index]
    assert (kept["provider"], kept["text"]) == ("pigeon", "bread")
    assert refused.status_code == 404


def test_an_account_that_lacks_a_field_stops_the_start(make_service: MakeService, coop: str) -> None:
    with pytest.raises(ConfigurationError, match="pigeon"):
        make_service(sms_provider="pigeon", sms_providers={"pigeon": {"use": coop, "url": "x"}})


def test_an_answer_that_its_class_cannot_read_is_unknown(make_service: MakeService, coop: str) -> None:
    """It may have been sent: a fault of the class is no reason to send it again."""
    with LoopbackServer(json_answer({"no": "feather"})) as server:
        table = {"use": coop, "url": server.url, "token": "t0k"}
        service = make_service(sms_provider="pigeon,outbox", sms_providers={"pigeon": table})
        assert service.sent_now()["state"] == "unknown"


def test_a_dotted_class_is_taken_as_werkzeug_takes_it() -> None:
    """`module.Class` and `module:Class` name the same; a built-in one's name stays a name."""
    given = {"sms_providers": {"mine": {"use": "app.sms.Pigeon"}, "second": {"use": "aliyun"}}}
    sources = read_sources(environ={"FLASK_PROFILE": "test"}, overrides=given)
    settings = load([SmsSettings], sources).part(SmsSettings)

    assert [settings.kind_of(name) for name in ("mine", "second", "huawei")] == ["app.sms:Pigeon", "aliyun", "huawei"]
