"""Slack and the SMS gateway as receivers: what they refuse, when they are throttled, and what is said of it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy.testing import Answer, LoopbackServer, Request

TEMPLATES = (
    '[default.sms.templates.alert]\nparams = ["title"]\ntext = "Severity 1: {title}"\n'
    '[default.sms.templates.plain]\ntext = "An alert came"\notp = true\n'
)
MODULES = "carboy.services.archive,carboy.services.sms"
TITLE = 'params = {title = "title"}'


def last_attempt(gateway: Gateway, state: str, name: str = "siem") -> dict[str, Any]:
    [delivery] = until(lambda: [one for one in ended(gateway, state, name)() if one["attempts_made"]])
    found: dict[str, Any] = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["attempts"][-1]
    return {**found, "made": delivery["attempts_made"], "next": delivery["next_try"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (f'to = ["+33612345678"]\n{TITLE}', "country"),
        (f'to = ["12345"]\n{TITLE}', "number"),
        ('to = ["+4915112345678"]', "title"),
        ('to = ["+4915112345678"]\nparams = {title = "title", other = "id"}', "other"),
        ('to = ["+4915112345678"]\nparams = {title = "join(\',\', missing)"}', "params.title"),
    ],
    ids=["country", "number", "missing", "unknown", "expression"],
)
def test_a_message_that_can_never_be_sent_fails_at_once_with_the_reason(
    serve: Serve, tmp_path: Path, more: str, words: str
) -> None:
    outbox = tmp_path / "outbox.jsonl"
    toml = table("sms:alert", f'{more}\nretry = ["0s", "0s"]') + TEMPLATES
    gateway = operator(serve(toml=toml, modules=MODULES, sms_outbox=str(outbox), sms_countries="DE"))

    gateway.send(ALERT)
    attempt = last_attempt(gateway, "failed")

    assert words in attempt["error"]
    assert attempt["made"] == 1
    assert gateway.get("/api/v1/destinations/siem").get_json()["state"] == "active"
    assert not outbox.exists()


@pytest.mark.slow
def test_a_receiver_s_limit_is_waited_for(serve: Serve, tmp_path: Path) -> None:
    """The gateway says when it takes the next message of this template for this number."""
    outbox = tmp_path / "outbox.jsonl"
    toml = table("sms:plain", 'to = ["+4915112345678"]') + TEMPLATES
    gateway = operator(
        serve(toml=toml, modules=MODULES, sms_outbox=str(outbox), sms_countries="DE", sms_receiver_limits=("1/h",))
    )

    gateway.send(ALERT)
    until(ended(gateway))
    gateway.send({**ALERT, "id": "second"})
    attempt = last_attempt(gateway, "waiting")

    assert "SMS_RECEIVER_LIMITS" in attempt["error"]
    waits = datetime.fromisoformat(attempt["next"]) - datetime.fromisoformat(attempt["at"])
    assert timedelta(minutes=50) < waits <= timedelta(minutes=61)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(400, b"invalid_payload"), "400"),
        (Answer(403, b"action_prohibited"), "403"),
        (Answer(404, b"no_service"), "404"),
        (Answer(500, b"rollup_error"), "500"),
        (Answer(429, b"rate_limited", {"Retry-After": "30"}), "429"),
    ],
)
def test_what_slack_says_is_shown_and_its_address_is_not(serve: Serve, answer: Answer, words: str) -> None:
    def echo(request: Request) -> Answer:
        return Answer(answer.status, answer.body + b" " + request.target.encode(), answer.headers)

    with LoopbackServer(echo) as slack:
        toml = table("slack:", f'secret = "{slack.url}/services/T0/B0/xyzxyzxyz"\nbody = "title"')
        gateway = operator(serve(toml=toml))

        gateway.send(ALERT)
        attempt = last_attempt(gateway, "waiting")

        assert attempt["error"] == f"the receiver answered {words}"
        assert attempt["response"].startswith(answer.body.decode())
        assert "xyzxyzxyz" not in str(attempt)


def test_each_kind_of_value_is_a_text_for_slack(serve: Serve) -> None:
    values: list[Any] = ["text", 3, None, ["a", 1], {"text": "bold", "blocks": []}, True, "ü \U0001f600 \u2028"]
    expected: list[Any] = ["text", "3", "null", '["a",1]', None, "true", "ü \U0001f600 \u2028"]
    with LoopbackServer(Answer()) as slack:
        toml = table("slack:", f'secret = "{slack.url}/T0/B0/xyz"\nbody = "value"\nmax_in_flight = 1')
        gateway = operator(serve(toml=toml))
        gateway.send(*({**ALERT, "id": f"a{at}", "value": value} for at, value in enumerate(values)))
        until(lambda: len(ended(gateway)()) == len(values))

        got = [request.json() for request in slack.requests]
        wanted = [values[4] if text is None else {"text": text} for text in expected]
        assert [one for one in wanted if one not in got] == [], got
