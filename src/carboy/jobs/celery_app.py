"""The Celery application by its earlier name: `celery -A carboy.jobs.celery_app …`; see `carboy.celery_app`."""

from collections.abc import Callable
from typing import Any

from carboy.lazy import lazy_names

__getattr__: Callable[[str], Any] = lazy_names(__name__, {"carboy.celery_app": ("app",)})
