"""The application that a server is measured with: a small, a large, a slow and an echoing response."""

import shutil
import time
from pathlib import Path

from flask import Flask, request

__all__ = ["app", "write_probe"]

app = Flask("probe")


def write_probe(folder: Path) -> None:
    """Write this module to `probe.py` in a project's folder."""
    shutil.copy(__file__, folder / "probe.py")


@app.get("/")
def root() -> str:
    """Return a small response."""
    return "ok"


@app.get("/livez")
def livez() -> str:
    """Return the response of the liveness probe."""
    return "alive"


@app.post("/echo")
def echo() -> bytes:
    """Return the request's body."""
    return request.get_data()


@app.get("/big")
def big() -> bytes:
    """Return 8 MB."""
    return b"x" * 8_000_000


@app.get("/sleep/<float:seconds>")
def sleep(seconds: float) -> str:
    """Keep a thread busy for some seconds."""
    time.sleep(seconds)
    return "slept"
