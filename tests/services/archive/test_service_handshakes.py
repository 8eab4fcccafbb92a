"""Handshakes are answered as their sender wants, and never kept."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from carboy.errors import ConfigurationError
from carboy.services.archive.refusals import RefusedRequests
from carboy.testing.clock import ManualClock
from carboy.web import runtime

NOW_S = 1_700_000_000


def source(lines: str) -> str:
    return f"[default.archive.sources.it]\n{lines}\n"


def slack_headers(body: bytes, key: str = "k") -> dict[str, str]:
    signature = hmac.digest(key.encode(), b"v0:%d:%s" % (NOW_S, body), "sha256").hex()
    return {"X-Slack-Request-Timestamp": str(NOW_S), "X-Slack-Signature": f"v0={signature}"}


def test_slacks_url_verification_needs_no_setting(serve: Any) -> None:
    """Signed, it gets its challenge; forged, a 403; other events are kept."""
    gateway = serve(toml=source('verify = "slack"\nsecrets = ["k"]\nid = "/event_id"'), clock=ManualClock(NOW_S * 1000))
    ask = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "t"}).encode()
    event = json.dumps({"type": "event_callback", "event_id": "Ev1"}).encode()

    answer = gateway.open("POST", "/api/v1/webhooks/it", data=ask, headers=slack_headers(ask))

    assert (answer.status_code, answer.text) == (200, "3eZbrw1aB")
    assert gateway.open("POST", "/api/v1/webhooks/it", data=ask, headers=slack_headers(ask, "x")).status_code == 403
    kept = gateway.open("POST", "/api/v1/webhooks/it?wait=10", data=event, headers=slack_headers(event))
    assert kept.get_json()["ids"] == ["Ev1"]
    assert len(gateway.kept()) == 1


META = """verify = "github"
secrets = ["k"]
handshake_secret = ["verify-me"]
[default.archive.sources.it.handshake]
when = ["query:hub.mode=subscribe"]
echo = "query:hub.challenge"
secret = "query:hub.verify_token"
"""


def test_metas_challenge_comes_by_get_with_a_second_secret(serve: Any) -> None:
    gateway = serve(toml=source(META))
    path = "/api/v1/webhooks/it?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="

    answer = gateway.open("GET", path + "verify-me")

    assert (answer.status_code, answer.data) == (200, b"1158201444")
    assert answer.content_type.startswith("text/plain")
    assert gateway.open("GET", path + "another").status_code == 403
    assert gateway.open("GET", "/api/v1/webhooks/it").status_code == 401
    assert gateway.open("GET", "/api/v1/webhooks/it?hub.mode=unsubscribe").status_code == 401
    assert gateway.get("/api/v1/webhooks/it?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z").status_code == 200


def test_a_signed_handshake_by_get_with_a_wrong_secret_is_refused(serve: Any) -> None:
    """403 and in the list of refused requests, as any other that proves nothing."""
    gateway = serve(toml=source(META + "is_signed = true\n"))
    refused = runtime(gateway.app).find(RefusedRequests)
    assert refused is not None

    answer = gateway.open("GET", "/api/v1/webhooks/it?hub.mode=subscribe&hub.challenge=1&hub.verify_token=another")

    assert answer.status_code == 403
    assert [(one.source, one.reason) for one in refused.newest()] == [("it", "handshake")]


FORMS: dict[str, tuple[str, dict[str, Any], int, bytes, dict[str, str]]] = {
    "Dropbox": (
        'verify = "hmac"\nheader = "X-S"\nsecrets = ["k"]\nhandshake = {echo = "query:challenge"}',
        {"method": "GET", "path": "?challenge=abc%20d"},
        200,
        b"abc d",
        {},
    ),
    "Okta": (
        (
            'verify = "bearer"\nsecrets = ["k"]\n'
            'handshake = {echo = "header:X-Okta-Verification-Challenge", reply = "json", name = "verification"}'
        ),
        {"method": "GET", "path": "", "headers": {"X-Okta-Verification-Challenge": "v"}},
        200,
        b'{"verification":"v"}',
        {},
    ),
    "Trello": (
        'verify = "bearer"\nsecrets = ["k"]\nhandshake = {when = ["method=HEAD"]}',
        {"method": "HEAD", "path": ""},
        200,
        b"",
        {},
    ),
    "Microsoft Graph": (
        'tokens = ["t"]\nhandshake = {echo = "query:validationToken"}',
        {"method": "POST", "path": "/t?validationToken=a%3Cb", "data": b""},
        200,
        b"a<b",
        {"Content-Type": "text/plain; charset=utf-8"},
    ),
    "Monday": (
        'tokens = ["t"]\nhandshake = {echo = "/challenge", reply = "json", name = "challenge"}',
        {"method": "POST", "path": "/t", "data": b'{"challenge": "c"}'},
        200,
        b'{"challenge":"c"}',
        {},
    ),
    "Adobe Sign": (
        (
            'verify = "bearer"\nsecrets = ["k"]\n'
            'handshake = {when = ["method=GET"], echo = "header:X-AdobeSign-ClientId", reply = "header", '
            'name = "X-AdobeSign-ClientId"}'
        ),
        {"method": "GET", "path": "", "headers": {"X-AdobeSign-ClientId": "id1"}},
        200,
        b"",
        {"X-AdobeSign-ClientId": "id1"},
    ),
    "WooCommerce": (
        'verify = "hmac"\nheader = "X-S"\nsecrets = ["k"]\nhandshake = {when = ["form:webhook_id=*"]}',
        {
            "method": "POST",
            "path": "",
            "data": b"webhook_id=17",
            "content_type": "application/x-www-form-urlencoded",
        },
        200,
        b"",
        {},
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_handshake_has_the_form_that_its_sender_wants(serve: Any, name: str) -> None:
    """With any method; nothing of it is kept."""
    lines, sent, status, body, headers = FORMS[name]
    gateway = serve(toml=source(lines))
    sent = dict(sent)

    answer = gateway.open(sent.pop("method"), f"/api/v1/webhooks/it{sent.pop('path')}", **sent)

    assert (answer.status_code, answer.data) == (status, body)
    assert {header: answer.headers[header] for header in headers} == headers
    assert gateway.kept() == []


def test_zooms_token_is_answered_with_its_hmac(serve: Any) -> None:
    """Only where the request is signed, as Zoom signs it."""
    lines = """verify = "hmac"
header = "x-zm-signature"
prefix = "v0="
timestamp_header = "x-zm-request-timestamp"
template = "v0:{timestamp}:{body}"
secrets = ["k"]
[default.archive.sources.it.handshake]
when = ["/event=endpoint.url_validation"]
echo = "/payload/plainToken"
reply = "json"
name = "plainToken"
hmac_name = "encryptedToken"
is_signed = true
"""
    gateway = serve(toml=source(lines), clock=ManualClock(NOW_S * 1000))
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "q"}}).encode()
    signature = hmac.digest(b"k", b"v0:%d:%s" % (NOW_S, body), "sha256").hex()
    headers = {"x-zm-request-timestamp": str(NOW_S), "x-zm-signature": f"v0={signature}"}

    answer = gateway.open("POST", "/api/v1/webhooks/it", data=body, headers=headers)

    expected = hmac.digest(b"k", b"q", hashlib.sha256).hex()
    assert answer.get_json() == {"plainToken": "q", "encryptedToken": expected}
    assert gateway.open("POST", "/api/v1/webhooks/it", data=body).status_code == 403
    assert gateway.kept() == []


def test_options_consents_to_cloud_events_without_a_key(serve: Any) -> None:
    gateway = serve(toml=source('verify = "bearer"\nsecrets = ["k"]'))

    answer = gateway.open("OPTIONS", "/api/v1/webhooks/it", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert "POST" in answer.headers["Allow"]
    assert gateway.open("OPTIONS", "/api/v1/webhooks/nobody").status_code == 404


def test_a_source_may_answer_as_its_sender_wants(serve: Any) -> None:
    """TwiML, and 401 for a wrong signature; a repeat is answered alike."""
    lines = """verify = "hmac"
header = "X-S"
secrets = ["k"]
refused_status = 401
answer = {status = 200, body = "<Response/>", content_type = "text/xml"}
"""
    gateway = serve(toml=source(lines))
    headers = {"X-S": hmac.digest(b"k", b"x", "sha256").hex()}

    for _ in range(2):
        answer = gateway.open("POST", "/api/v1/webhooks/it?wait=10", data=b"x", headers=headers)
        assert (answer.status_code, answer.text, answer.mimetype) == (200, "<Response/>", "text/xml")
    assert gateway.open("POST", "/api/v1/webhooks/it", data=b"y", headers=headers).status_code == 401
    assert len(gateway.kept()) == 1


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ("handshake = {}", "needs `when` or `echo`"),
        ('handshake = {echo = "challenge"}', "`echo` must be header:NAME"),
        ('handshake = {echo = "/c", reply = "header"}', "needs `name`"),
        ('handshake = {echo = "/c", secret = "/s"}', "`x.handshake_secret` is needed"),
        ('handshake = {when = ["type"]}', "`when` names no place"),
        ("refused_status = 500", "must be 401 or 403"),
        ("answer = {status = 500}", "must have a status from 200 to 299"),
    ],
)
def test_a_handshake_that_means_nothing_stops_the_start(serve: Any, lines: str, detail: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        serve(toml=f'[default.archive.sources.x]\ntokens = ["t"]\n{lines}\n')

    assert detail in str(refused.value)


def test_handshakes_are_limited(serve: Any) -> None:
    gateway = serve(toml=source('tokens = ["t"]\nhandshake = {echo = "query:c"}'), clock=ManualClock(NOW_S * 1000))

    statuses = [gateway.open("GET", "/api/v1/webhooks/it?c=1").status_code for _ in range(61)]

    assert statuses == [200] * 60 + [429]
