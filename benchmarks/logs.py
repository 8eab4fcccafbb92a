"""What one log line costs: Carboy's, with ids and redaction, against common libraries.

The peers are installed into an environment of their own, and every contender, ours too, is measured there: each in a
process of its own, in turns, the best of its turns counting. All write the same event with three facts and a request
id to /dev/null. Only ours looks for secrets.
"""

import logging
import os
import subprocess
import sys
import timeit
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["aws-lambda-powertools>=3.20", "python-json-logger>=4", "structlog>=25.4", "orjson>=3.11"]
TURNS = 5
AIM_US, AIM_OF_POWERTOOLS = 7.0, 0.25

EVENT = "secret_refreshed"
FACTS = {"age_s": 3, "name": "prod/db", "region": "eu-central-1"}
REQUEST_ID = "7f3a9c1e7f3a9c1e7f3a9c1e7f3a9c1e"
_request_id: ContextVar[str] = ContextVar("request_id", default=REQUEST_ID)

Line = Callable[[], object]


def _nowhere() -> TextIO:
    return open(os.devnull, "w")


def _carboy() -> Line:
    from carboy import logs

    logs.setup("INFO", "json", _nowhere())
    logs.bind_request_id(REQUEST_ID)
    log = logs.get_logger("app.orders")
    return lambda: log.info(EVENT, **FACTS)


def _carboy_knowing_1000_secrets() -> Line:
    import secrets

    from carboy.redact import register_secret

    for _ in range(1000):
        register_secret(secrets.token_urlsafe(24))
    return _carboy()


def _carboy_by_logging() -> Line:
    _carboy()
    log = logging.getLogger("app.orders")
    return lambda: log.info(EVENT, extra={"age_s": 3, "of": "prod/db", "region": "eu-central-1"})


def _carboy_below_the_level() -> Line:
    from carboy import logs

    _carboy()
    log = logs.get_logger("app.orders")
    return lambda: log.debug(EVENT, **FACTS)


def _powertools() -> Line:
    from aws_lambda_powertools import Logger

    log = Logger(service="orders", stream=_nowhere())
    log.append_keys(request_id=REQUEST_ID)
    return lambda: log.info(EVENT, extra={"age_s": 3, "of": "prod/db", "region": "eu-central-1"})


def _structlog_over_logging() -> Line:
    import structlog

    logging.basicConfig(format="%(message)s", stream=_nowhere(), level=logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(request_id=REQUEST_ID)
    log = structlog.get_logger("app.orders")
    log.info(EVENT)
    return lambda: log.info(EVENT, **FACTS)


class _AddRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


def _python_json_logger() -> Line:
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(_nowhere())
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(_AddRequestId())
    return _by_logging(handler)


def _plain_logging() -> Line:
    handler = logging.StreamHandler(_nowhere())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"))
    handler.addFilter(_AddRequestId())
    return _by_logging(handler)


def _by_logging(handler: logging.Handler) -> Line:
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    log = logging.getLogger("app.orders")
    return lambda: log.info(EVENT, extra={"age_s": 3, "of": "prod/db", "region": "eu-central-1"})


CONTENDERS: dict[str, Callable[[], Line]] = {
    "carboy": _carboy,
    "carboy, knowing 1,000 secrets": _carboy_knowing_1000_secrets,
    "carboy, a line by `logging`": _carboy_by_logging,
    "carboy, below the level": _carboy_below_the_level,
    "aws-lambda-powertools": _powertools,
    "structlog over logging (Fleece's way)": _structlog_over_logging,
    "python-json-logger": _python_json_logger,
    "logging, plain text": _plain_logging,
}


def measure(name: str) -> float:
    """Return the microseconds of one line, in this process."""
    line = CONTENDERS[name]()
    return min(timeit.repeat(line, number=5000, repeat=10)) / 5000 * 1e6


def run() -> None:
    """Print the microseconds of a line, and each peer's as a multiple of Carboy's."""
    from benchmarks import peers  # not for those who run this file in an environment of their own

    python = peers.environment_or_none("logs", *PACKAGES)
    if python is None:
        names = [name for name in CONTENDERS if "carboy" in name or "logging" in name.split(",", maxsplit=1)[0]]
        python = Path(sys.executable)
    else:
        names = list(CONTENDERS)
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for name in names:
            if (taken_us := _measure_apart(python, name)) is not None:
                best[name] = min(taken_us, best.get(name, taken_us))
    _print(best)


def _measure_apart(python: Path, name: str) -> float | None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), "-P", str(Path(__file__).resolve()), name]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return float(done.stdout)


def _print(best: dict[str, float]) -> None:
    ours = best["carboy"]
    print(f"\n{'one line, with a request id':<40} {'µs':>7}  {'of ours':>8}")
    for name, taken_us in best.items():
        print(f"{name:<40} {taken_us:>7.2f}  {taken_us / ours:>7.2f}×")
    print(f"\naim: at most {AIM_US:g} µs: {'kept' if ours <= AIM_US else 'missed'} ({ours:.2f})")
    if theirs := best.get("aws-lambda-powertools"):
        part = ours / theirs
        kept = "kept" if part <= AIM_OF_POWERTOOLS else "missed"
        print(f"aim: at most {AIM_OF_POWERTOOLS:g} of Powertools: {kept} ({part:.2f})")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1]))
    else:
        run()
