"""`kill -9` of server and worker under load: nothing that was accepted is lost, nothing is sent twice."""

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest
from tests.lab.load import Call, run_load
from tests.lab.sms_providers import SmsProviderProcess, sms_provider_process

from carboy.testing import ServeProcess, serve_process

pytestmark = pytest.mark.journey

KILLS = 20
OPEN = ("queued", "sending")


@pytest.fixture
def provider() -> Iterator[SmsProviderProcess]:
    with sms_provider_process("twilio", latency_s=0.01) as running:
        yield running


def environ(folder: Path, provider: SmsProviderProcess) -> dict[str, str]:
    (folder / "carboy.toml").write_text(
        '[default.sms.templates.notice]\nparams = ["name"]\ntext = "Hello {name}"\n', encoding="utf-8"
    )
    return {
        "MODULES": "carboy.services.sms",
        "AUTH": "off",
        "RATE_LIMIT": "off",
        "LOG_LEVEL": "WARNING",
        "SMS_PROVIDER": "twilio",
        "TWILIO_URL": provider.url,
        "TWILIO_ACCOUNT_SID": "test-key",
        "TWILIO_AUTH_TOKEN": "test-secret",
        "TWILIO_FROM": "+14155550100",
        "SMS_CIRCUIT_S": "0.2",
        "SMS_TIMEOUT_S": "5",
    }


def calls(numbers: "count[int]", limit: int) -> Iterator[Call]:
    for _ in range(limit):
        receiver = f"+86138{next(numbers):08d}"
        body = json.dumps({"receivers": receiver, "template": "notice", "params": {"name": receiver}}).encode()
        yield Call(receiver, "POST", "/api/sms", body, {"Content-Type": "application/json"})


def states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "instance" / "carboy.db")) as connection:
        return dict(connection.execute("SELECT receiver, state FROM sms_messages"))


def test_nothing_is_lost_and_nothing_sent_twice_by_20_kills(tmp_path: Path, provider: SmsProviderProcess) -> None:
    """What was accepted reaches the provider once; but what a call was lost for is `unknown`, and says so."""
    given = environ(tmp_path, provider)
    chance = random.Random(6)
    numbers = count()
    answers: dict[str, int] = {}
    for _ in range(KILLS // 2):
        with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
            server = stack.enter_context(serve_process(tmp_path, environ=given))
            worker = stack.enter_context(serve_process(tmp_path, environ=given, command=("worker",)))
            load = pool.submit(run_load, server.url, calls(numbers, 400), connections=8, seconds=1.5)
            time.sleep(chance.uniform(0.2, 0.8))
            kill(worker if chance.random() < 0.5 else server)
            time.sleep(chance.uniform(0.0, 0.5))
            kill(worker)
            kill(server)
            answers |= load.result().answers
    accepted = {key for key, status in answers.items() if status == 202}
    with serve_process(tmp_path, environ=given):
        until = time.monotonic() + 120
        while any(state in OPEN for state in states(tmp_path).values()) and time.monotonic() < until:
            time.sleep(0.2)
    ended = states(tmp_path)
    sent = Counter(one.receiver for one in provider.sent)

    assert len(accepted) > KILLS
    assert accepted <= set(ended)
    assert not [key for key, times in sent.items() if times > 1]
    assert set(ended.values()) <= {"sent", "unknown"}
    assert {key for key in accepted if key not in sent} <= {key for key, state in ended.items() if state == "unknown"}
    assert {key for key, state in ended.items() if state == "sent"} <= set(sent)


def kill(process: ServeProcess) -> None:
    if process.process.poll() is None:
        os.killpg(process.process.pid, signal.SIGKILL)
        process.process.wait(30)


def test_two_processes_with_one_key_at_the_same_moment_send_once(tmp_path: Path, provider: SmsProviderProcess) -> None:
    """Each of 20 keys comes eight times, to both servers at once."""
    given = environ(tmp_path, provider)
    with (
        serve_process(tmp_path, environ=given) as one,
        serve_process(tmp_path, environ=given) as other,
        ThreadPoolExecutor(2) as pool,
    ):

        def same() -> Iterator[Call]:
            for key in range(20):
                body = json.dumps(
                    {"receivers": f"+86138{key:08d}", "template": "notice", "params": {"name": str(key)}}
                ).encode()
                headers = {"Content-Type": "application/json", "Idempotency-Key": f"key-{key}"}
                for _ in range(4):
                    yield Call(f"{key}", "POST", "/api/sms", body, headers)

        loads = [pool.submit(run_load, server.url, same(), connections=8) for server in (one, other)]
        reports = [load.result() for load in loads]
        until = time.monotonic() + 60
        while any(state in OPEN for state in states(tmp_path).values()) and time.monotonic() < until:
            time.sleep(0.1)
    assert sum((report.statuses for report in reports), Counter()) == {202: 160}
    assert Counter(sent.receiver for sent in provider.sent) == {f"+86138{key:08d}": 1 for key in range(20)}
