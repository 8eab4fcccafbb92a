"""What `carboy serve` runs: address, processes and threads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from carboy.errors import UsageError
from carboy.serve.service import Service

ServerName = Literal["gunicorn", "dev"]

OnReady = Callable[[Service, str], None]
"""Called once, with the service and its URL, when the first process answers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        workers: number of processes.
        threads: requests handled at once by each process.
        reload: whether the server restarts when a file of the project changes.
    """

    server: ServerName = "gunicorn"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 32
    reload: bool = False


def check_plan(plan: Plan) -> None:
    """Refuse options that do not go together, as far as this shows without the application.

    Raises:
        UsageError: the options do not go together.
    """
    if plan.workers < 1 or plan.threads < 1:
        raise UsageError("nothing would be served", "--workers and --threads are at least 1", "leave them out")
    if plan.workers > 1 and (plan.reload or plan.server == "dev"):
        raise UsageError(
            f"{plan.workers} workers cannot serve",
            "--reload and the dev server run one process",
            "leave out --workers, or use --server gunicorn without --reload",
        )
