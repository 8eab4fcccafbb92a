"""A closed-loop HTTP load generator: N kept connections, each sends its next request when its last was answered.

It remembers how each request was answered, so that a journey can ask afterwards for all that was acknowledged.
`python -m tests.lab.load` and `load_process` run it in a process of its own. What goes over the wire is left to
`lanes`.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

from tests.lab.http_load import Call, Load, LoadReport
from tests.lab.threat_stack_api import invent_alert_id, invent_webhook

__all__ = ["Call", "LoadProcess", "LoadReport", "alert_calls", "load_process", "run_load"]


def run_load(
    url: str,
    calls: Iterable[Call],
    *,
    connections: int = 32,
    seconds: float = float("inf"),
    timeout_s: float = 30.0,
    tries: int = 1,
) -> LoadReport:
    """Send calls until they are used up or the time is over, and wait for the answers under way.

    Args:
        url: the server's address; its path is not used.
        calls: may be endless when `seconds` is given.
        connections: kept open at once.
        seconds: no call begins after that time.
        timeout_s: how long an answer may take.
        tries: how often a call is sent when its connection fails before an answer; the server may then see it twice.
    """
    return asyncio.run(Load(url, iter(calls), connections, seconds, timeout_s, tries).run())


def alert_calls(
    target: str = "/api/v1/s3/alert",
    *,
    amount: int | None = None,
    start_ms: int = 1_700_000_000_000,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Call]:
    """Give Threat Stack's webhooks, one alert each, a millisecond apart; the key is the alert's id.

    Args:
        target: where they go.
        amount: how many; None for no end.
        start_ms: the first alert's time, milliseconds since the epoch.
        headers: beside the content type, such as `Authorization`.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    for number in count() if amount is None else range(amount):
        alert_id = invent_alert_id(start_ms + number, number)
        yield Call(alert_id, "POST", target, invent_webhook(alert_id), sent)


@contextmanager
def load_process(url: str, *arguments: str) -> Iterator["LoadProcess"]:
    """Run the generator in a process of its own for the length of the block.

    Args:
        url: the server's address.
        arguments: of the command line, such as `--seconds`, `10`.
    """
    with tempfile.TemporaryDirectory(prefix="carboy-load-") as folder:
        answers = Path(folder) / "answers.json"
        command = [sys.executable, "-m", __name__, url, "--answers", str(answers), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                yield LoadProcess(process, answers)
            finally:
                process.kill()


class LoadProcess:
    """A generator at work in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", answers_path: Path) -> None:
        self.process = process
        self._answers_path = answers_path

    def finish(self, now: bool = False, timeout_s: float = 600.0) -> tuple[dict[str, Any], dict[str, int]]:
        """Wait for its end, or ask for it now; return the summary, and the last status of each key (0: no answer).

        Raises:
            RuntimeError: it failed; why is on stderr.
        """
        if now:
            self.process.terminate()
        line, _ = self.process.communicate(timeout=timeout_s)
        if self.process.returncode != 0:
            raise RuntimeError(f"the load generator ended with code {self.process.returncode}")
        return json.loads(line), json.loads(self._answers_path.read_bytes())


def main(arguments: Sequence[str] | None = None) -> None:
    """Send requests and print the figures as one JSON line; SIGTERM ends it early, in good order.

    Without `--get` it sends Threat Stack's webhooks, a new alert each, so that all that was accepted can be looked
    for afterwards.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.lab.load", description=main.__doc__)
    parser.add_argument("url", help="the server, such as http://127.0.0.1:8000")
    parser.add_argument("--get", metavar="PATH", help="GET this path instead of sending webhooks")
    parser.add_argument("--target", default="/api/v1/s3/alert", help="where webhooks go (%(default)s)")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with each request")
    parser.add_argument("--connections", type=int, default=32, help="kept open at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for how long (until the amount is sent)")
    parser.add_argument("--amount", type=int, help="how many requests (no limit)")
    parser.add_argument("--start-ms", type=int, default=1_700_000_000_000, help="time of the first alert (%(default)s)")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds an answer may take (%(default)g)")
    parser.add_argument(
        "--tries", type=int, default=1, help="how often to send when the connection fails (%(default)s)"
    )
    parser.add_argument("--answers", type=Path, help="write the last status of each key here, as a JSON object")
    options = parser.parse_args(arguments)
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in options.header)}
    calls: Iterator[Call]
    if options.get:
        calls = islice(repeat(Call(options.get, "GET", options.get, headers=headers)), options.amount)
    else:
        calls = alert_calls(options.target, amount=options.amount, start_ms=options.start_ms, headers=headers)
    load = Load(options.url, calls, options.connections, options.seconds, options.timeout, options.tries)
    signal.signal(signal.SIGTERM, lambda *_: load.stop())
    report = asyncio.run(load.run())
    if options.answers:
        options.answers.write_text(json.dumps(report.answers), "utf-8")
    sys.stdout.write(json.dumps(report.summary()) + "\n")


if __name__ == "__main__":
    main()
