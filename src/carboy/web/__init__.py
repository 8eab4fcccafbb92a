"""A Flask application with all of it wired, or with one part of it."""

from carboy.web.assembly import PARTS, create_app, init_app
from carboy.web.metrics import Counter, Gauge, Histogram, Metrics
from carboy.web.runtime import Runtime, runtime
from carboy.web.settings import ModulesSettings, WebSettings

__all__ = [
    "PARTS",
    "Counter",
    "Gauge",
    "Histogram",
    "Metrics",
    "ModulesSettings",
    "Runtime",
    "WebSettings",
    "create_app",
    "init_app",
    "runtime",
]
