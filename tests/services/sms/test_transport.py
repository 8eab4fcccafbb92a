"""The HTTP client of the gateway: proxies, limits of time and size, and what an error means."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService

from carboy.net import Limits
from carboy.services.sms.providers import Outcome, Request, Response
from carboy.services.sms.transport import Sessions, send_request
from carboy.testing import LoopbackServer, closed_port, make_ca
from carboy.testing.answers import Answer, Cut, Drip, json_answer

StandIn = Callable[..., SmsProvider]
LIMITS = Limits(0.5, 0.5, 0.5, 1_048_576)


def _post(url: str, sessions: Sessions | None = None, limits: Limits = LIMITS) -> Response | Outcome:
    return send_request((sessions or Sessions(2)).get(url), Request("POST", url, {}, b"To=1"), limits)


def test_the_environment_s_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the provider's own host, unless NO_PROXY names it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    assert Sessions(1).get("https://api.twilio.com").proxies["https"] == "http://127.0.0.1:3128"
    monkeypatch.setenv("NO_PROXY", "api.twilio.com")
    assert not Sessions(1).get("https://api.twilio.com").proxies.get("https")


def test_a_message_goes_out_through_the_proxy(
    stand_in: StandIn, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees the request; nothing goes past it."""
    taken = json_answer({"sid": "SM1", "status": "queued"}, 201)
    with LoopbackServer(taken) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        service = make_service(stand_in("twilio"), twilio_url="http://sms.example.invalid")
        assert service.sent_now()["state"] == "sent"
    assert proxy.requests[0].target.startswith("http://sms.example.invalid/")


def test_a_proxy_that_has_the_request_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have handed it on; only a proxy that is not there has certainly not."""
    monkeypatch.setenv("NO_PROXY", "")
    with LoopbackServer(Cut("start", Answer(200))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        left = _post("http://sms.example.invalid/")
    with closed_port() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        refused = _post("http://sms.example.invalid/")
    assert isinstance(left, Outcome)
    assert isinstance(refused, Outcome)
    assert (left.kind, refused.kind) == ("unknown", "not_sent")


def test_the_timeout_is_a_total() -> None:
    """A provider that drips holds a worker for SMS_TIMEOUT_S, not for as long as it likes."""
    with LoopbackServer(Drip(Answer(200, b"x" * 200), every_s=0.2)) as server:
        began_s = time.monotonic()
        got = _post(server.url)
        took_s = time.monotonic() - began_s
    assert isinstance(got, Outcome)
    assert got.kind == "unknown"
    assert took_s < 5


def test_a_response_has_a_largest_size() -> None:
    with LoopbackServer(Answer(200, b"x" * 5000)) as server:
        got = _post(server.url, limits=Limits(5, 5, 5, 4096))
    assert isinstance(got, Outcome)
    assert got.kind == "unknown"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, "unknown"), (404, "not_sent"), (408, "unknown"), (409, "unknown"), (429, "throttled"), (502, "unknown")],
)
def test_a_response_without_words_is_judged_by_its_status(
    stand_in: StandIn, make_service: MakeService, status: int, kind: str
) -> None:
    """Only what is refused before the work counts as not sent."""
    with LoopbackServer(Answer(status, b"<html>", {"Location": "/x"})) as server:
        service = make_service(stand_in("twilio"), twilio_url=server.url)
        service.sent_now()
        assert service.gateway.dispatcher.outcomes.value(("twilio", kind)) == 1
        sent = [one.target for one in server.requests if one.method == "POST"]  # beside what asks for the balance
        assert len(sent) == 1


@pytest.mark.slow
def test_huawei_s_certificate_is_trusted_by_a_setting(make_service: MakeService, tmp_path: Path) -> None:
    """Certificates are always verified; the words of a failure name the setting."""
    ca = make_ca(tmp_path)
    settings = {"huawei_sms_app_key": "k", "huawei_sms_app_secret": "s", "huawei_sms_sender_id": "8"}
    settings |= {"sms_timeout_s": "10", "sms_connect_timeout_s": "10"}
    with ExitStack() as stack:
        context = ca.issue("localhost").server_context()
        server = stack.enter_context(LoopbackServer(json_answer({"code": "E000101"}), tls=context))
        here = {"sms_provider": "huawei", "huawei_url": server.url.replace("127.0.0.1", "localhost"), **settings}
        message = make_service(**here).sent_now()
        assert "HUAWEI_CA" in message["provider_message"]
        assert not server.requests
        trusted = make_service(huawei_ca=str(ca.path), **here)
        assert trusted.sent_now()["provider_code"] == "E000101"
