"""A small application with jobs, as a Celery worker finds it by `FLASK_APP`; what ran is a line in a file."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_ready
from flask import Flask

import carboy
from carboy.errors import Throttled
from carboy.jobs import Registry, job
from carboy.web import runtime


def _tell(text: str) -> None:
    with Path(os.environ["SHOP_RAN"]).open("a", encoding="utf-8") as file:
        file.write(f"{text} {os.getpid()}\n")


@worker_ready.connect  # type: ignore[untyped-decorator]
def _acknowledge_late(sender: Any, **_: Any) -> None:
    """Do what a broken connection leaves to the event loop: acknowledge a message that has no connection any more."""
    if os.environ.pop("SHOP_ACKNOWLEDGES_LATE", ""):
        sender.hub.call_soon(getattr, None, "hostname")


@job("mail.bulk")
def bulk(name: str, wait_s: float = 0.0) -> None:
    _tell(name)
    time.sleep(wait_s)


@job("mail.otp", priority=1)
def otp(name: str) -> None:
    _tell(name)


@job("shop.fails", attempts=2, backoff=(0.01, 0.02))
def fails(name: str) -> None:
    _tell(name)
    raise RuntimeError("no luck")


@job("shop.dies", attempts=3)
def dies(name: str) -> None:
    _tell(name)
    if Path(os.environ["SHOP_RAN"]).read_text("utf-8").count(name) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@job("shop.slow", attempts=1, timeout_s=0.3)
def slow(name: str) -> None:
    _tell(name)
    time.sleep(60)


@job("shop.deaf", attempts=1, timeout_s=0.3)
def deaf(name: str) -> None:
    _tell(name)
    while True:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001 (the first time limit is not heard)
            _tell("deaf heard")


@job("shop.throttled", attempts=3)
def throttled(name: str) -> None:
    _tell(name)
    if Path(os.environ["SHOP_RAN"]).read_text("utf-8").count(name) == 1:
        raise Throttled("it", "asked us to wait", "", retry_after_s=0.2)


JOBS = (bulk, otp, fails, dies, slow, deaf, throttled)


def registry() -> Registry:
    return Registry(JOBS)


def create_app() -> Flask:
    app = Flask(__name__)
    carboy.init_app(app, ["settings", "logs", "db", "jobs", "health", "metrics"])
    for one in JOBS:
        runtime(app).jobs.registry.add(one)
    if "SHOP_TELLS_ITS_STOP" in os.environ:
        runtime(app).jobs.registry.at_stop.append(lambda left_s: _tell(f"stop {left_s:.0f}"))
    return app
