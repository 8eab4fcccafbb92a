"""Helpers shared by the tests of `cli`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODULE = """
from carboy.db import db
from carboy.jobs import enqueue, job


@job("orders.ship", attempts=1)
def ship(order):
    raise RuntimeError(f"order {order} is lost")


def register(app):
    @app.post("/api/v1/s3/alert")
    def alert():
        enqueue(ship, "17")
        db.session.commit()
        return {"accepted": 1}, 202


jobs = [ship]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Carboy = Callable[..., Ended]
