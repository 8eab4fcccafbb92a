"""`make demo`: the whole journey of alerts, from the webhook to the archive and back, past an API that fails.

A stand-in for the Threat Stack API and `carboy serve` run as processes of their own on loopback, in a folder that is
removed at the end. The exit code is 0 only where every alert that was sent is archived exactly once.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TextIO

from tests.lab.demo_destinations import PassedOn, destinations
from tests.lab.threat_stack import ThreatStackProcess, threat_stack_process
from tests.lab.threat_stack_api import invent_alert_id, invent_webhook

from carboy.testing.ports import HOST
from carboy.testing.serving import ServeProcess, serve_process

__all__ = ["main"]

_START_MS = 1_484_661_060_000
_EVERY_MS = 7_000
_SENDERS = 8
_GIVE_UP_S = 60.0
_TROUBLE_S = 3.0
_BAR = 40
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")  # no setting of another service's
# What goes wrong with the API while the alerts are fetched: the fault, and how many calls meet it.
_TROUBLE: Sequence[tuple[Any, int]] = ((429, 2), (500, 6), (404, 4), ("stall", 4), ("cut", 6), (503, 2), ("reset", 3))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the journey; return 0 where everything is archived exactly once."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.demo", description=main.__doc__)
    parser.add_argument("--alerts", type=int, default=200, help="how many are sent (%(default)s)")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carboy-demo-")))
        api = stack.enter_context(threat_stack_process("--latency-ms", "5"))
        ids = [invent_alert_id(_START_MS + number * _EVERY_MS, number) for number in range(options.alerts)]
        passed, environ = stack.enter_context(destinations(folder, ids))
        environ = {**_environ(api), **environ}
        server = stack.enter_context(serve_process(folder, environ=environ, inherited=_INHERITED))
        try:
            return _Demo(folder, api, server, passed, sys.stdout).run(ids)
        finally:
            server.stop()


def _environ(api: ThreatStackProcess) -> dict[str, str]:
    return {
        "FLASK_PROFILE": "local",
        "LOG_FORMAT": "json",
        "MODULES": "carboy.services.archive,carboy.services.sms",
        "THREATSTACK_API_KEY": "test-api-key",
        "THREATSTACK_BASE_URL": api.base_url,
        "THREATSTACK_RATE": "off",
        "THREATSTACK_TIMEOUT_S": "0.5",
        "RATE_LIMIT": "off",
    }


class _Demo:
    """The journey, and its report."""

    def __init__(
        self, folder: Path, api: ThreatStackProcess, server: ServeProcess, passed: PassedOn, out: TextIO
    ) -> None:
        self._passed = passed
        self._folder, self._api, self._server, self._out = folder, api, server, out
        self._key = _read_key(folder / "instance" / "local-key")
        self._archive = folder / "instance" / "archive"

    def run(self, ids: Sequence[str]) -> int:
        began, amount = time.monotonic(), len(ids)
        self._say(f"The gateway is at {self._server.url}; the stand-in for Threat Stack at {self._api.base_url}.")
        self._say(f"{amount} alerts are sent, every tenth twice, and meanwhile the API fails in every way it knows.\n")
        answers = self._send(ids)
        is_done = self._wait(amount)
        kept = self._kept()
        self._tell_keys(kept)
        self._tell_counts(answers, kept)
        faults = [] if is_done else [f"not everything was archived within {_GIVE_UP_S:g} s"]
        faults += _compare(ids, answers, kept)
        faults += self._read_back(ids)
        faults += self._passed.faults(_GIVE_UP_S)
        self._say(
            f"Passed on: {len(self._passed.taken)} signed to the SIEM, which failed {self._passed.refused} times;"
        )
        self._say(f"  all to an SQS queue; {self._passed.texts()} of severity 1 to the engineer on call.\n")
        for fault in faults:
            self._say(f"FAULT: {fault}")
        took_s = time.monotonic() - began
        self._say(f"{'Every alert is archived exactly once' if not faults else 'It failed'} ({took_s:.1f} s).")
        return 1 if faults else 0

    def _send(self, ids: Sequence[str]) -> Counter[str]:
        """Post every alert, every tenth twice; a part of them for each trouble that the API has."""
        sent = [*ids, *ids[::10]]
        random.Random(7).shuffle(sent)
        answers: Counter[str] = Counter()
        with ThreadPoolExecutor(_SENDERS) as pool:
            for number, (fault, calls) in enumerate(_TROUBLE):
                self._api.tell(fault=fault, fault_calls=calls, retry_after_s=1)
                before = sum(self._met().values())
                for answer in pool.map(self._post, sent[number :: len(_TROUBLE)]):
                    answers.update(answer)
                deadline = time.monotonic() + _TROUBLE_S
                while sum(self._met().values()) - before < calls and time.monotonic() < deadline:
                    time.sleep(0.02)
        return answers

    def _met(self) -> dict[str, int]:
        """Return how many calls to the API went wrong, by outcome."""
        return {name: count for name, count in self._api.report()["statuses"].items() if name != "200"}

    def _post(self, alert_id: str) -> dict[str, int]:
        status, document = self._ask("POST", "/api/v1/s3/alert", invent_webhook(alert_id))
        if status != 202:
            return {f"answered {status}": 1}
        return {"accepted": document["accepted"], "duplicates": document["duplicates"]}

    def _wait(self, amount: int) -> bool:
        """Show how far the archive is until it has everything; return whether it came to that in time."""
        progress = _Progress(self._out, amount)
        deadline = time.monotonic() + _GIVE_UP_S
        while (done := self._archived()) < amount and time.monotonic() < deadline:
            progress.show(done)
            time.sleep(0.1)
        progress.end(done)
        while self._jobs("queued") + self._jobs("running") and time.monotonic() < deadline:
            time.sleep(0.05)
        return done >= amount

    def _archived(self) -> int:
        return sum(1 for path in (self._archive / "alerts").rglob("*") if path.is_file() and path.name[0] != ".")

    def _jobs(self, state: str) -> int:
        return len(self._ask("GET", f"/api/jobs?state={state}&kind=archive.keep&limit=1")[1]["jobs"])

    def _kept(self) -> list[str]:
        """Return the keys of all objects."""
        files = (path for path in self._archive.rglob("*") if path.is_file())
        return sorted(key for path in files if "/." not in f"/{(key := path.relative_to(self._archive).as_posix())}")

    def _tell_keys(self, kept: Sequence[str]) -> None:
        for prefix in ("webhooks/", "alerts/"):
            keys = [key for key in kept if key.startswith(prefix)]
            self._say(f"\n{len(keys)} objects under {prefix}, such as")
            for key in keys[:3]:
                self._say(f"  {key}")

    def _tell_counts(self, answers: Mapping[str, int], kept: Sequence[str]) -> None:
        details = sum(key.startswith("alerts/") for key in kept)
        self._say("\nWebhooks: " + ", ".join(f"{count} {name}" for name, count in sorted(answers.items())))
        self._say(f"Archived: {details} full alerts")
        statuses = self._api.report()["statuses"]
        outcomes = ", ".join(f"{name}: {count}" for name, count in sorted(statuses.items()))
        self._say(f"Calls to the API, by outcome: {outcomes}")

    def _read_back(self, ids: Sequence[str]) -> list[str]:
        """Read one alert by its id and all of them by their time; return what is wrong."""
        faults = []
        middle = ids[len(ids) // 2]
        status, document = self._ask("GET", f"/api/v1/s3/alert/{middle}")
        alert = document.get("alert", {})
        self._say(f"\nGET /api/v1/s3/alert/{middle}: {status}, {json.dumps(alert.get('title'))}")
        if alert.get("id") != middle or "detail" in document:
            faults.append(f"{middle} was read back as {json.dumps(document)[:200]}")
        span = f"start={_iso(_START_MS)}&end={_iso(_START_MS + len(ids) * _EVERY_MS)}"
        listed: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            status, document = self._ask("GET", f"/api/v1/s3/alert?{span}&limit=150{cursor and f'&cursor={cursor}'}")
            if status != 200:
                return [*faults, f"the range was answered {status}"]
            listed += [one["id"] for one in document["alerts"]]
            cursor = document["next"]
        self._say(f"GET /api/v1/s3/alert?{span}: {len(listed)} alerts, oldest first\n")
        if sorted(listed) != sorted(ids):
            faults.append(f"the range holds {len(listed)} alerts, not the {len(ids)} that were sent")
        return faults

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        connection = HTTPConnection(HOST, self._server.port, timeout=30)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException):
            return 0, {}
        finally:
            connection.close()

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


class _Progress:
    """How far it is: a bar on a terminal, a line at each quarter elsewhere."""

    def __init__(self, out: TextIO, amount: int) -> None:
        self._out, self._amount, self._is_terminal, self._quarter = out, amount, out.isatty(), 0

    def show(self, done: int) -> None:
        share = min(done / self._amount, 1.0) if self._amount else 1.0
        if self._is_terminal:
            bar = "#" * int(share * _BAR)
            self._out.write(f"\r[{bar:.<{_BAR}}] {done}/{self._amount} archived")
        elif int(share * 4) > self._quarter:
            self._quarter = int(share * 4)
            self._out.write(f"{done} of {self._amount} archived\n")
        self._out.flush()

    def end(self, done: int) -> None:
        self.show(done)
        if self._is_terminal:
            self._out.write("\n")


def _compare(ids: Sequence[str], answers: Mapping[str, int], kept: Sequence[str]) -> list[str]:
    """Return what is wrong: an alert that is not there, is there more than once, or was counted wrong."""
    faults = []
    for prefix in ("webhooks/", "alerts/"):
        found = Counter(key.rpartition("/")[2].partition("~")[0] for key in kept if key.startswith(prefix))
        missing, often = set(ids) - found.keys(), [name for name, count in found.items() if count > 1]
        if missing:
            faults.append(f"{len(missing)} alerts are not under {prefix}, such as {min(missing)}")
        if often:
            faults.append(f"{len(often)} alerts are more than once under {prefix}, such as {often[0]}")
    if answers.get("accepted") != len(ids):
        faults.append(f"{answers.get('accepted', 0)} alerts were accepted, not {len(ids)}")
    return faults


def _read_key(path: Path) -> str:
    """Return the key that `carboy serve` made, once it has written it."""
    deadline = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < deadline:
        if path.is_file() and (key := path.read_text("ascii").strip()):
            return key
        time.sleep(0.02)
    raise RuntimeError("the server made no key")


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended, and the folder removed
    sys.exit(main())
