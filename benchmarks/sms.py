"""The gateway against the same server's empty view, a plain view that calls the provider, and a provider that stalls.

What is said of one machine says little: read the ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.lab.load import Call, run_load
from tests.lab.sms_providers import SmsProviderProcess, sms_provider_process

from carboy.testing import free_port, serve_process

SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
CONNECTIONS = 32
TOML = '[default.sms.templates.notice]\nparams = ["name"]\ntext = "Hello {name}"\naliyun = "SMS_1"\n'
_numbers = count()


def run() -> None:
    _report_accepting()
    _report_handing_over()
    _report_fail_over()


def _report_accepting() -> None:
    """Accepted texts per second, each on stable storage, against an empty view of the same server."""
    with tempfile.TemporaryDirectory() as folder:
        bare = _rate(Path(folder), {}, ("--app", "benchmarks.bare"), iter(lambda: Call("b", "POST", "/"), None))
        empty_outbox = {"SMS_OUTBOX": "/dev/null"}
        ours = _rate(Path(folder), empty_outbox, (), _sends())
    print(f"accepted: {ours:7.0f} texts/s; the empty view answers {bare:.0f}/s: ratio {ours / bare:.2f}")


def _report_handing_over() -> None:
    """Texts handed over per second to a provider that takes 100 ms."""
    with sms_provider_process("twilio", latency_s=0.1) as provider, tempfile.TemporaryDirectory() as folder:
        plain = _plain_rate(provider)
        given = {**_twilio(provider), "JOBS_CONCURRENCY": "64"}
        before = len(provider.sent)
        _write(Path(folder))
        with serve_process(Path(folder), environ=_environ(given)) as server:
            started = time.perf_counter()
            report = run_load(server.url, _sends(1500), connections=CONNECTIONS)
            accepted_s = time.perf_counter() - started
            while len(provider.sent) - before < 1500:
                time.sleep(0.05)
            took_s = time.perf_counter() - started
    answered = report.statuses[202] / accepted_s
    print(f"handed over to a provider of 100 ms: {1500 / took_s:.0f}/s; a plain synchronous view: {plain:.0f}/s")
    print(f"  callers are answered {answered:.0f}/s: {answered / plain:.0f} times the plain view's")


def _report_fail_over() -> None:
    """What a text costs when the first provider stalls: its time-out once, then nothing beside the second alone."""
    with (
        sms_provider_process("aliyun", fault="stall") as first,
        sms_provider_process("twilio") as second,
        tempfile.TemporaryDirectory() as folder,
    ):
        given = {
            **_twilio(second),
            "SMS_PROVIDER": "aliyun,twilio",
            "ALIYUN_URL": first.url,
            "ALIYUN_SMS_APP_KEY": "test-key",
            "ALIYUN_SMS_APP_SECRET": "test-secret",
            "ALIYUN_SMS_SIGN_NAME": "x",
            "SMS_TIMEOUT_S": "1",
            "SMS_CIRCUIT_S": "600",
        }
        _write(Path(folder))
        alone = _waits(Path(folder), given | {"SMS_PROVIDER": "twilio"})
        waits = _waits(Path(folder), given)
    after_ms, alone_ms = (statistics.median(some[1:]) * 1000 for some in (waits, alone))
    print(f"first provider stalls: the first text {waits[0] * 1000:.0f} ms (its time-out is 1000 ms), ", end="")
    print(f"then {after_ms:.1f} ms in the median from the request to the hand-over by the second;")
    print(f"  where the second is the only one {alone_ms:.1f} ms: the fail-over costs {after_ms - alone_ms:.1f} ms")


def _waits(folder: Path, given: Mapping[str, str]) -> list[float]:
    """Return how many seconds each of thirty texts took until a provider had it."""
    waits = []
    with serve_process(folder, environ=_environ(given)) as server:
        for call in _sends(30, "/api/sms?wait=10"):
            started = time.perf_counter()
            run_load(server.url, [call], connections=1)
            waits.append(time.perf_counter() - started)
    return waits


def _sends(amount: int | None = None, target: str = "/api/sms") -> Iterator[Call]:
    for _ in range(amount) if amount is not None else count():
        receiver = f"+86138{next(_numbers):08d}"
        body = json.dumps({"receivers": receiver, "template": "notice", "params": {"name": "you"}}).encode()
        yield Call(receiver, "POST", target, body, {"Content-Type": "application/json"})


def _rate(folder: Path, given: Mapping[str, str], arguments: tuple[str, ...], calls: Iterator[Call]) -> float:
    _write(folder)
    with serve_process(folder, *arguments, environ=_environ(given)) as server:
        run_load(server.url, calls, connections=CONNECTIONS, seconds=1)
        return run_load(server.url, calls, connections=CONNECTIONS, seconds=SECONDS).rate_per_s


@contextmanager
def _plain_view(provider: SmsProviderProcess) -> Iterator[str]:
    """Serve what the tutorial does: a view that calls the provider, one request at a time."""
    port = free_port()
    code = f"""
from flask import Flask
import requests

app = Flask("plain")

@app.post("/")
def send():
    form = {{"To": "+8613800000000", "From": "+14155550100", "Body": "Hello"}}
    answer = requests.post("{provider.url}/2010-04-01/Accounts/test-key/Messages.json", data=form,
                           auth=("test-key", "test-secret"))
    return answer.json(), 200

app.run(port={port}, threaded=False)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _plain_rate(provider: SmsProviderProcess) -> float:
    with _plain_view(provider) as url:
        time.sleep(2)
        calls = iter(lambda: Call("p", "POST", "/"), None)
        return run_load(url, calls, connections=CONNECTIONS, seconds=SECONDS).rate_per_s


def _twilio(provider: SmsProviderProcess) -> dict[str, str]:
    return {
        "SMS_PROVIDER": "twilio",
        "TWILIO_URL": provider.url,
        "TWILIO_ACCOUNT_SID": "test-key",
        "TWILIO_AUTH_TOKEN": "test-secret",
        "TWILIO_FROM": "+14155550100",
    }


def _environ(given: Mapping[str, str]) -> dict[str, str]:
    root = str(Path(__file__).parent.parent)
    common = {"MODULES": "carboy.services.sms", "AUTH": "off", "RATE_LIMIT": "off", "LOG_LEVEL": "WARNING"}
    return {**common, "PYTHONPATH": root, **given}


def _write(folder: Path) -> None:
    (folder / "carboy.toml").write_text(TOML, encoding="utf-8")


if __name__ == "__main__":
    run()
