import json
import re
from pathlib import Path

import pytest
from tests.cli.kit import Carboy

SEND = ("sms", "send", "+8613800000000", "--template", "captcha", "--param", "code=1234")


@pytest.fixture
def gateway(project: Path) -> Path:
    (project / ".env").write_text("MODULES=carboy.services.sms\n")
    return project


def test_a_text_is_sent_from_a_terminal_and_its_state_is_printed(gateway: Path, carboy: Carboy) -> None:
    sent = carboy(*SEND, "--json")
    assert sent.code == 0, sent.err
    [message] = sent.json["messages"]
    assert (message["state"], message["receiver"]) == ("sent", "+86138****0000")
    line = json.loads((gateway / "instance" / "sms-outbox.jsonl").read_text())
    assert line["text"] == "Your code is 1234"
    assert carboy("sms", "status", sent.json["id"], "--json").json == sent.json


def test_too_many_texts_to_one_receiver_say_when_it_may_be_tried_again(gateway: Path, carboy: Carboy) -> None:
    """The hint has the seconds that `Retry-After` has."""
    assert carboy(*SEND).code == 0

    refused = carboy(*SEND)

    assert refused.code == 1
    assert re.search(r"^hint: try again in [1-9]\d* s$", refused.err, re.MULTILINE)


def test_a_dry_run_shows_provider_text_and_segments_and_sends_nothing(gateway: Path, carboy: Carboy) -> None:
    plan = carboy(*SEND, "--dry-run", "--json").json
    assert plan["provider"] == "outbox"
    assert plan["text"] == "Your code is 1234"
    assert plan["receivers"] == [{"receiver": "+86138****0000", "segments": 1}]
    assert not (gateway / "instance" / "sms-outbox.jsonl").exists()


def test_providers_and_templates_are_listed(gateway: Path, carboy: Carboy) -> None:
    assert [one["name"] for one in carboy("sms", "providers", "--json").json] == ["outbox"]
    assert "captcha" in carboy("sms", "templates").out


def test_a_provider_is_taken_out_and_put_back(gateway: Path, carboy: Carboy) -> None:
    assert carboy("sms", "providers", "out", "outbox").code == 0
    [provider] = carboy("sms", "providers", "--json").json
    assert provider["share"] == 0
    assert provider["out_since"]
    waiting = carboy(*SEND, "--json")
    assert [one["state"] for one in waiting.json["messages"]] == ["queued"]
    assert carboy("sms", "providers", "back", "outbox").code == 0
    [provider] = carboy("sms", "providers", "--json").json
    assert (provider["share"], provider["out_since"]) == (1, None)
    assert carboy("sms", "providers", "out", "nobody").code == 4
    assert "OUT SINCE" in carboy("sms", "providers").out


def test_what_cannot_be_sent_is_refused_with_every_fault(gateway: Path, carboy: Carboy) -> None:
    ended = carboy("sms", "send", "+86138", "--template", "nothing")
    assert ended.code == 2
    assert "no telephone" in ended.err
    assert "no such template" in ended.err


def test_a_state_that_does_not_exist_is_an_error(gateway: Path, carboy: Carboy) -> None:
    """An empty list would say that there is no such message."""
    found = carboy("sms", "list", "--state", "nope")
    assert found.code == 2
    assert "there are scheduled, held" in found.err
