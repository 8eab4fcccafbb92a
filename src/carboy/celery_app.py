"""The entry point for Celery's own tools: `celery -A carboy.celery_app worker|inspect|…`, and Flower.

It finds the project's application as `carboy` does (`FLASK_APP`, `carboy.toml`), and so stands above the parts beside
it. Nothing is made before the application is asked for.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["app"]

app: "Celery"


def __getattr__(name: str) -> Any:
    if name == "app":
        return _make()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _make() -> "Celery":
    from carboy.cli.project import Project
    from carboy.serve.celery_worker import attach
    from carboy.serve.service import Service

    project = Project()
    project.export()
    return attach(Service(project.make_app() if "worker" in sys.argv else project.make_quiet_app()))
