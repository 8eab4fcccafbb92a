"""Scheduled messages through kills, restarts and clocks that jump: sent once, not before their time, or canceled."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import Process, eventually
from tests.lab.sms_providers import SmsProviderProcess, sms_provider_process

from carboy.testing import ServeProcess, serve_process
from carboy.testing.processes import mariadb, postgres, require
from carboy.testing.processes.running import find_binary

pytestmark = pytest.mark.journey

MESSAGES = 18
KILLS = 4
_SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
WAITING = ("scheduled", "held", "queued", "sending")


@pytest.fixture
def provider() -> Iterator[SmsProviderProcess]:
    with sms_provider_process("twilio", latency_s=0.05) as running:
        yield running


@pytest.fixture
def texting(gateway: Gateway, provider: SmsProviderProcess) -> Gateway:
    """The gateway, with one provider."""
    toml = '[default.sms.templates.notice]\nparams = ["name"]\ntext = "Hello {name}"\n'
    (gateway.folder / "carboy.toml").write_text(toml, encoding="utf-8")
    gateway.environ |= {
        "FLASK_MODULES": "carboy.services.sms",
        "FLASK_SMS_PROVIDER": "twilio",
        "FLASK_TWILIO_URL": provider.url,
        "FLASK_TWILIO_ACCOUNT_SID": "test-key",
        "FLASK_TWILIO_AUTH_TOKEN": "test-secret",
        "FLASK_TWILIO_FROM": "+14155550100",
        "FLASK_SMS_CIRCUIT_S": "0.2",
        "FLASK_SMS_EXPIRES": "1h",
    }
    return gateway


@pytest.fixture(params=[None, mariadb, postgres], ids=["sqlite", "mariadb", "postgres"])
def anywhere(request: pytest.FixtureRequest, texting: Gateway) -> Iterator[Gateway]:
    """The gateway on each kind of database."""
    if request.param is None:
        yield texting
        return
    with require(request.param) as server:
        texting.environ["FLASK_DATABASE_URL"] = server.url()
        texting.server = server
        upgrade = texting.run("db", "upgrade")
        assert upgrade.end() == 0, upgrade.said
        yield texting


def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=30)) as connection:
        content = None if body is None else json.dumps(body)
        connection.request(method, address.path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def schedule(url: str, receiver: str, at: datetime) -> str:
    body = {"receivers": receiver, "template": "notice", "params": {"name": "you"}, "send_at": at.isoformat()}
    status, document = ask("POST", f"{url}/api/sms", body)
    assert status == 202
    return str(document["id"])


def states(gateway: Gateway) -> dict[str, tuple[str, int | None, int | None]]:
    rows = gateway.rows("SELECT receiver, state, due_at, sent_at FROM sms_messages")
    return {receiver: (state, due_at, sent_at) for receiver, state, due_at, sent_at in rows}


@pytest.mark.timeout(300)
def test_through_kills_each_is_sent_once_at_its_time_and_no_canceled_one(
    anywhere: Gateway, provider: SmsProviderProcess
) -> None:
    """A third is canceled, some of them in the moment in which they fall due."""
    chance = random.Random(3)
    server, worker = start(anywhere)
    begin = datetime.now(UTC) + timedelta(seconds=8)
    due = {f"+861380000{at:04d}": begin + timedelta(seconds=at * 0.7) for at in range(MESSAGES)}
    requests = {receiver: schedule(server.url, receiver, at) for receiver, at in due.items()}
    canceled, sought = set(), list(due)[::3]
    for _ in range(KILLS):
        until_s = time.monotonic() + chance.uniform(1.5, 3.5)
        while time.monotonic() < until_s:
            for receiver in [one for one in sought if due[one] < datetime.now(UTC) + timedelta(seconds=0.1)]:
                sought.remove(receiver)
                if cancel(server, requests[receiver]):
                    canceled.add(receiver)
            time.sleep(0.02)
        for process in chance.sample([server, worker], 2):
            process.kill()
        server, worker = start(anywhere)
    for receiver in sought:
        if cancel(server, requests[receiver]):
            canceled.add(receiver)
    while [one for one in states(anywhere).values() if one[0] in WAITING]:
        time.sleep(0.3)
    ended, sent = states(anywhere), Counter(one.receiver for one in provider.sent)

    assert set(ended) == set(due)
    assert not [receiver for receiver, times in sent.items() if times > 1]
    assert not canceled & set(sent)
    assert {ended[receiver][0] for receiver in canceled} <= {"canceled"}
    assert {state for state, _, _ in ended.values()} <= {"sent", "unknown", "canceled"}
    assert {receiver for receiver, (state, _, _) in ended.items() if state == "sent"} <= set(sent)
    early = {receiver: row for receiver, row in ended.items() if row[2] is not None and row[2] < (row[1] or 0)}
    assert not early


def start(gateway: Gateway) -> tuple[Process, Process]:
    server = gateway.start("serve", "--port", "0")
    return server, gateway.start("worker", says="Ctrl-C stops")


def cancel(server: Process, request: str) -> bool:
    """Cancel a request; return whether the response says that it is canceled."""
    try:
        status, document = ask("DELETE", f"{server.url}/api/sms/{request}")
    except (OSError, HTTPException):
        return False
    return status == 200 and bool(document["message"] == "canceled")


@contextmanager
def faked(gateway: Gateway, seconds: int) -> Iterator[ServeProcess]:
    """Serve by a clock that is so many seconds ahead; at the end the processes are killed."""
    find_binary("faketime", "faketime")
    library = f"/usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1"
    environ = {**gateway.environ, "LD_PRELOAD": library, "FAKETIME": f"{seconds:+d}s"}
    # A jump moves no monotonic clock, by which threads wait. Left alone, the library refuses `clock_nanosleep`.
    environ |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(gateway.folder)}
    (gateway.folder / "sitecustomize.py").write_text(_SLEEP, encoding="utf-8")
    with serve_process(gateway.folder, environ=environ) as process:
        gateway.logs.append(lambda: process.said)
        yield process
        os.killpg(process.process.pid, signal.SIGKILL)


def send_marker(url: str, receiver: str, seconds: int) -> None:
    """Schedule a message by a faked clock and wait until it is sent, as everything is that was due before."""
    marker = schedule(url, receiver, datetime.now(UTC) + timedelta(seconds=seconds + 2))
    eventually(lambda: ask("GET", f"{url}/api/sms/{marker}")[1]["message"] == "sent", "the marker is sent")


def test_a_clock_that_jumps_ahead_and_back_sends_once(texting: Gateway, provider: SmsProviderProcess) -> None:
    """With SQLite the clock is the machine's: what a jump made due is sent, and not again after the way back."""
    now = datetime.now(UTC)
    numbers = {hours: f"+861380000000{hours}" for hours in (1, 3, 6)}
    with faked(texting, 0) as server:
        requests = {
            hours: schedule(server.url, number, now + timedelta(hours=hours)) for hours, number in numbers.items()
        }
        assert not provider.sent
    with faked(texting, 3700) as server:
        eventually(lambda: states(texting)[numbers[1]][0] == "sent", "the first is sent")
    with faked(texting, -3600) as server:
        assert ask("DELETE", f"{server.url}/api/sms/{requests[6]}")[0] == 200
        send_marker(server.url, "+8613800000007", -3600)
        assert states(texting)[numbers[3]][0] == "scheduled"
    with faked(texting, 7 * 3600) as server:
        send_marker(server.url, "+8613800000008", 7 * 3600)
        assert ask("DELETE", f"{server.url}/api/sms/{requests[1]}")[0] == 409
    sent = Counter(one.receiver for one in provider.sent)
    ends = {number: state for number, (state, _, _) in states(texting).items()}
    assert sent == {numbers[1]: 1, "+8613800000007": 1, "+8613800000008": 1}
    assert (ends[numbers[1]], ends[numbers[3]], ends[numbers[6]]) == ("sent", "expired", "canceled")


@pytest.mark.parametrize("kind", [mariadb, postgres], ids=["mariadb", "postgres"])
def test_a_machine_with_a_wrong_clock_sends_nothing_early(
    texting: Gateway, provider: SmsProviderProcess, kind: Any
) -> None:
    """With a server the time is the server's, also where this machine's clock is a day ahead."""
    with require(kind) as database:
        texting.environ["FLASK_DATABASE_URL"] = database.url()
        texting.server = database
        assert texting.run("db", "upgrade").end() == 0
        with faked(texting, 86_400) as server:
            late = schedule(server.url, "+8613800000001", datetime.now(UTC) + timedelta(hours=1))
            send_marker(server.url, "+8613800000002", 0)
            assert ask("GET", f"{server.url}/api/sms/{late}")[1]["messages"][0]["state"] == "scheduled"
    assert [one.receiver for one in provider.sent] == ["+8613800000002"]
