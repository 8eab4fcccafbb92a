"""Logger class of gunicorn, loaded as `carboy.logs.GunicornLogger`."""

from datetime import timedelta
from logging.handlers import SysLogHandler
from typing import Any

from carboy.extras import extra
from carboy.logs.stdlib import LineHandler

with extra("serve"):
    from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class GunicornLogger(Logger):  # type: ignore[misc]
    """Writes gunicorn's lines, and its access lines when `accesslog` is set, as Carboy's; a value of `logger_class`.

    `carboy.logs.setup` decides where they go; `accesslog` and `errorlog` only turn their lines on. The loggers of the
    application are left as they are.
    """

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's configuration, and put our handler in place of its own."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers[:]:  # its own; those of a `logconfig` stay
                if getattr(handler, "_gunicorn", False) and not isinstance(handler, SysLogHandler):
                    log.removeHandler(handler)
                    handler.close()
            if not any(isinstance(handler, LineHandler) for handler in log.handlers):
                log.addHandler(LineHandler())

    def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
        """Write one line of a request: method, path without its query, status, milliseconds, bytes, client."""
        if self.access_log_enabled:
            ids = [value for name, value in resp.headers if name.lower() == "x-request-id"]
            facts = {
                **({"request_id": ids[0]} if ids else {}),
                "method": environ.get("REQUEST_METHOD"),
                "path": environ.get("PATH_INFO"),
                "status": int(str(resp.status).split(None, 1)[0]),
                "duration_ms": round(request_time.total_seconds() * 1000, 3),
                "bytes": getattr(resp, "sent", None),
                "client": environ.get("REMOTE_ADDR"),
            }
            self.access_log.info("request", extra=facts)
