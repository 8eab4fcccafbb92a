"""Have granian's and gunicorn's own lines written in our form; their access lines too, where they are on."""

import logging
from collections.abc import Mapping
from typing import Any

from carboy.logs.setup import is_set_up, setup
from carboy.logs.stdlib import LineHandler

__all__ = ["GranianAccess", "granian_config", "server_handler"]


def granian_config(**options: Any) -> dict[str, Any]:
    """Return what granian takes as `log_dictconfig` (in JSON, as `--log-config`), so that it writes our lines.

    Granian applies it in each worker process. With `log_access=True` its access lines come in the form of ours.

    Args:
        options: arguments of `setup`, for a worker in which the logs are not set up yet.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {},
        "filters": {"access": {"()": "carboy.logs.server_loggers.GranianAccess"}},
        "handlers": {"lines": {"()": "carboy.logs.server_loggers.server_handler", **options}},
        "loggers": {
            "_granian": {"handlers": ["lines"], "level": "INFO", "propagate": False},
            "granian.access": {"handlers": ["lines"], "filters": ["access"], "level": "INFO", "propagate": False},
        },
    }


def server_handler(**options: Any) -> logging.Handler:
    """Return a handler that writes our lines, having set up the logs with these options if nobody has yet."""
    if not is_set_up():
        setup(**options)
    return LineHandler()


class GranianAccess(logging.Filter):
    """Turns granian's access record into ours: `event="request"` and facts; the query is left out."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let it pass."""
        said = record.args
        if isinstance(said, Mapping):
            record.args = None
            record.msg = "request"
            record.method, record.path, record.status = said.get("method"), said.get("path"), said.get("status")
            record.duration_ms = round(float(str(said.get("dt_ms", 0))), 3)
            record.client = said.get("addr")
        return True
