"""One JSON line per event, with the request id: for our events, the libraries' and the server's alike.

from carboy import logs

logs.setup("INFO")
log: logs.BoundLogger = logs.get_logger(__name__)
log.info("order_shipped", order_id=17)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names
from carboy.logs.log_context import (
    bind_ids,
    bind_request_id,
    bound_facts,
    new_request_id,
    request_context,
    request_id,
    reset_request_id,
)
from carboy.logs.log_lines import UnknownLevel
from carboy.logs.loggers import BoundLogger, configure_structlog, get_logger, getLogger
from carboy.logs.setup import reset, setup, setup_root_logger
from carboy.logs.stdlib import LineFormatter, LineHandler, deliver_waiting

if TYPE_CHECKING:
    from carboy.logs.buffered_handler import RetryHandler
    from carboy.logs.call_logging import inject_request_ids, log_calls
    from carboy.logs.gunicorn import GunicornLogger

__all__ = [
    "BoundLogger",
    "GunicornLogger",
    "LineFormatter",
    "LineHandler",
    "RetryHandler",
    "UnknownLevel",
    "bind_ids",
    "bind_request_id",
    "bound_facts",
    "configure_structlog",
    "deliver_waiting",
    "getLogger",
    "get_logger",
    "inject_request_ids",
    "log_calls",
    "new_request_id",
    "request_context",
    "request_id",
    "reset",
    "reset_request_id",
    "setup",
    "setup_root_logger",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".call_logging": ("inject_request_ids", "log_calls"),
        ".gunicorn": ("GunicornLogger",),
        ".buffered_handler": ("RetryHandler",),
    },
)
