"""Helpers shared by the tests of `jobs/celery`."""

from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Engine
from tests.jobs.celery import shop_app
from tests.journeys.zygote import Process, Zygote, eventually

from carboy.clock import SYSTEM_CLOCK
from carboy.config import load, read_sources
from carboy.db import DbSettings, GroupCommit, engine, upgrade
from carboy.jobs import Job, JobsSettings, JobStore, JobView, notify_after_commit, put, row_of
from carboy.jobs.celery.engine import CeleryEngine

_MODULES = (
    *("carboy.cli.main", "carboy.cli.worker", "carboy.web.assembly", "carboy.db.migrate", "carboy.jobs.embedded"),
    *(
        "carboy.jobs.celery.row_worker",
        "carboy.jobs.celery.engine",
        "carboy.serve.celery_worker",
        "carboy.jobs.job_store",
    ),
    *(
        "carboy.jobs.job_store",
        "sqlalchemy.dialects.sqlite",
        "celery.bin.celery",
        "celery.apps.worker",
        "celery.concurrency.prefork",
    ),
    *("kombu.transport.redis", "kombu.transport.pyamqp", "celery.worker.consumer", "celery.worker.strategy"),
)


@dataclass
class Yard:
    """A project's folder with its database, and the engine of one who adds jobs."""

    folder: Path
    zygote: Zygote
    environ: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environ |= {
            "FLASK_APP": f"{shop_app.__file__}:create_app",
            "SHOP_RAN": str(self.folder / "ran"),
            "JOBS_ENGINE": "celery",
            "JOBS_QUEUE": f"q{token_hex(4)}",
            "JOBS_CONCURRENCY": "2",
            "JOBS_POLL_S": "0.2",
            "JOBS_SWEEP_S": "1",
            "JOBS_DRAIN_S": "5",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "LOG_FORMAT": "json",
        }
        (self.folder / "ran").touch()
        loaded = load([DbSettings, JobsSettings], read_sources(folder=self.folder, environ=self.environ))
        self.settings = loaded.part(JobsSettings)
        url = f"sqlite:///{self.folder / 'instance' / 'carboy.db'}"
        self.environ["DATABASE_URL"] = url
        (self.folder / "instance").mkdir()
        loaded = load([DbSettings], read_sources(folder=self.folder, environ={"DATABASE_URL": url}))
        self.engine: Engine = engine(loaded.part(DbSettings))
        upgrade(self.engine)
        self.writer = GroupCommit(self.engine)
        self.store = JobStore(self.engine, self.writer)
        self.celery = CeleryEngine(self.writer, shop_app.registry(), self.settings)
        notify_after_commit(self.engine, self.celery.notify)

    def add(self, job: Job[...], *args: Any, after_s: float = 0.0) -> JobView:
        """Commit a row, and return it."""
        row = row_of(job, args, now_ms=SYSTEM_CLOCK.now_ms(), after_s=after_s)
        self.writer.run(_put, row)
        return self.store.get(row["id"])

    def work(self, *words: str, **environ: str) -> Process:
        """Start a worker and wait until it is ready."""
        process = self.run(*(words or ("worker",)), **environ)
        process.wait_for("jobs_worker_ready")
        return process

    def run(self, *words: str, **environ: str) -> Process:
        """Run `carboy` or `celery`."""
        log_path = self.folder / f"{len(self.processes)}-{words[0]}.log"
        program, said = ("celery", words[1:]) if words[0] == "celery" else ("carboy", words)
        made = self.zygote.run(
            *said, folder=self.folder, environ={**self.environ, **environ}, log_path=log_path, program=program
        )
        self.processes.append(made)
        return made

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of jobs."""
        return shop_app.registry().kinds

    def ran(self) -> list[str]:
        """Return the names of what ran, in its order."""
        return [line.rpartition(" ")[0] for line in (self.folder / "ran").read_text("utf-8").splitlines()]

    def states(self) -> list[str]:
        """Return the state of every row, the oldest first."""
        return [row.state for row in reversed(self.store.list(limit=10_000))]

    def wait_for(self, job: JobView, *states: str) -> JobView:
        """Wait until a row is in one of these states, and return it."""
        eventually(lambda: self.store.get(int(job.id)).state in states, f"{job.kind} is {states}")
        return self.store.get(int(job.id))

    def close(self) -> None:
        """End all that was begun."""
        for process in self.processes:
            if process.code is None:
                process.kill()
        self.celery.stop()
        self.engine.dispose()


def _put(connection: Connection, rows: Any) -> list[None]:
    put(connection, rows)
    return [None] * len(rows)
