"""Helpers shared by the tests of `journeys`."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

from tests.journeys.zygote import Process, Zygote, eventually
from tests.lab.load import Call, LoadReport, alert_calls, run_load
from tests.lab.threat_stack_api import invent_alert, invent_webhook

from carboy.testing import serve_process
from carboy.testing.answers import json_answer
from carboy.testing.processes import AwsServer, DatabaseServer
from carboy.testing.serving import ServeProcess

Objects = Callable[[], dict[str, bytes]]


TS_MS = 1_700_000_000_000
NOT_DONE = "SELECT count(*) FROM carboy_jobs WHERE state != 'done' AND kind NOT IN ('sms.upkeep', 'sms.balances')"
"""How many jobs are left, without those of each period, the next of which always waits."""


@dataclass
class Gateway:
    """A project's folder, its processes, and an account of every alert that was sent."""

    folder: Path
    zygote: Zygote
    environ: dict[str, str]
    objects: Objects
    server: DatabaseServer | None = None
    accepted: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    logs: list[Callable[[], str]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    _batches: Iterator[int] = field(default_factory=count)

    def start(self, *words: str, says: str = "serving on", **environ: str) -> Process:
        """Run `carboy` in a quick process and wait until it says that it is ready."""
        process = self.run(*(words or ("serve", "--port", "0")), **environ)
        process.wait_for(says)
        return process

    def run(self, *words: str, **environ: str) -> Process:
        """Run `carboy` in a quick process."""
        log_path = self.folder / f"{len(self.logs)}-{words[0]}.log"
        made = self.zygote.run(*words, folder=self.folder, environ={**self.environ, **environ}, log_path=log_path)
        self.processes.append(made)
        self.logs.append(lambda: made.said)
        return made

    @contextmanager
    def serve(self, *arguments: str, **environ: str) -> Iterator[ServeProcess]:
        """Run `carboy serve` as a person would, with everything that happens at the end of a process."""
        with serve_process(self.folder, *arguments, environ={**self.environ, **environ}) as server:
            self.logs.append(lambda: server.said)
            yield server

    def calls(self, amount: int | None = None) -> Iterator[Call]:
        """Give new alerts to send, a millisecond of time apart."""
        for call in alert_calls(amount=amount, start_ms=TS_MS + next(self._batches) * 10_000_000):
            self.sent.add(call.key)
            yield call

    def mixed_calls(self) -> Iterator[Call]:
        """Give new alerts without end: one by one, three in a request, and every seventh request twice."""
        calls = self.calls()
        for number, call in enumerate(calls):
            if number % 5 == 4:
                ids = [call.key, next(calls).key, next(calls).key]
                yield replace(call, key=" ".join(ids), body=invent_webhook(*ids))
            else:
                yield call
            if number % 7 == 6:
                yield call

    def load(self, url: str, calls: Iterable[Call], connections: int = 8, **options: Any) -> LoadReport:
        """Send alerts and keep account of the answers."""
        report = run_load(url, calls, connections=connections, **options)
        self.accepted.update(" ".join(report.keys_answered(202)).split())
        self.statuses.update(report.statuses)
        return report

    @contextmanager
    def under_load(self, url: str, *, pause_s: float, **options: Any) -> Iterator[None]:
        """Send alerts for the length of the block, with a pause after each."""
        is_over = threading.Event()

        calls = until(is_over, self.calls(), pause_s)
        sender = threading.Thread(target=self.load, args=(url, calls), kwargs=options)
        sender.start()
        try:
            yield
        finally:
            is_over.set()
            sender.join()

    def rows(self, query: str) -> list[Any]:
        """Ask the database, beside the gateway."""
        if self.server is not None:
            with closing(self.server.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(query)
                return [tuple(row) for row in cursor.fetchall()]
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    @property
    def database(self) -> Path:
        """Where the rows are."""
        return self.folder / "instance" / "carboy.db"

    def post(self, url: str) -> tuple[int, str | None]:
        """Send one new alert; return the status and `Retry-After`."""
        [call] = self.calls(1)
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=30)) as connection:
            connection.request(call.method, call.target, call.body, dict(call.headers))
            answer = connection.getresponse()
            answer.read()
        if answer.status == 202:
            self.accepted.add(call.key)
        return answer.status, answer.headers["Retry-After"]

    def is_done(self) -> bool:
        """Return whether no job is left."""
        return self.rows(NOT_DONE) == [(0,)]

    def finish(self) -> None:
        """Have a server do what is left, and check that everything is archived exactly once."""
        server = self.start()
        eventually(self.is_done, "every job is done")
        assert server.stop() == 0
        self.check()

    def check(self) -> None:
        """Hold what is archived against what was sent and accepted."""
        rows = self.rows("SELECT item_id, state, detail, newest, body IS NULL FROM archive_items ORDER BY item_id")
        kept = [row[0] for row in rows]
        assert len(set(kept)) == len(kept), "an alert is in the index twice"
        assert self.accepted <= set(kept) <= self.sent
        assert {row[1:] for row in rows} <= {("archived", "kept", 1, 1)}
        found = self.objects()
        wanted = {key: body for alert_id in kept for key, body in objects_of(alert_id).items()}
        extra, absent = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
        assert not extra, extra
        assert not absent, absent
        assert found == wanted
        verify = self.run("archive", "verify")
        assert verify.end() == 0, verify.said


def until(is_over: threading.Event, calls: Iterator[Call], pause_s: float = 0.0) -> Iterator[Call]:
    """Give calls until it is over, with a pause after each."""
    for call in calls:
        if is_over.is_set():
            return
        yield call
        time.sleep(pause_s)


def objects_of(alert_id: str) -> dict[str, bytes]:
    """Return what is to be archived of an invented alert, by the contract's keys."""
    text = invent_webhook(alert_id).decode()
    at = text.index("[") + 1
    webhook = text[at : json.JSONDecoder().raw_decode(text, at)[1]]
    minute = datetime.fromtimestamp(int(json.loads(webhook)["created_at"]) / 1000, UTC).strftime("%Y/%m/%d/%H/%M")
    detail = json_answer(invent_alert(alert_id)).body
    return {
        f"webhooks/{minute}/{alert_id}": webhook.encode(),
        f"alerts/{alert_id[:2]}/{alert_id[2:4]}/{alert_id}": detail,
    }


def folder_objects(root: Path) -> dict[str, bytes]:
    """Return every object of a folder store."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".incoming" not in path.parts
    }


def bucket_objects(server: AwsServer, bucket: str) -> dict[str, bytes]:
    """Return every object of a bucket."""
    s3 = server.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
