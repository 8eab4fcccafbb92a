"""The parts of an application; each can be added alone."""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask import request
from flask.ctx import _AppCtxGlobals

from carboy.errors import Degraded, Missing
from carboy.jobs import JobsSettings
from carboy.logs import request_id
from carboy.web.http.middleware import Limits, RequestMiddleware
from carboy.web.http.middleware import log as request_log
from carboy.web.http.problem_responses import (
    answer_refusal,
    handle_problems,
    has_own_handlers,
    is_debugged,
    problem_answerer,
)
from carboy.web.metrics.registry import Sample

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

_KEEPING = frozenset({"keys", "jobs", "console"})  # parts with tables
_STATS_S = 0.5  # how long the counts of jobs are cached, for both metrics of a scrape


def _middleware(app: "Flask", runtime: "Runtime") -> RequestMiddleware:
    """Return the application's middleware, installed when the first part needs it.

    It goes inside of a `ProxyFix`, as its limits and lines are about the client's address.
    """
    made = runtime.find(RequestMiddleware)
    if made is None:
        from werkzeug.middleware.proxy_fix import ProxyFix

        outer = app.wsgi_app
        made = RequestMiddleware(
            outer.app if isinstance(outer, ProxyFix) else outer,
            show_path=runtime.show_path,
            propagates=partial(_propagates, app),
            sends_request_id=not runtime.parts.isdisjoint({"request_ids", "limits", "metrics", "trace"}),
            replaces_request_id="request_ids" in runtime.parts,
            forbids_sniffing=not runtime.is_adopted,
        )
        if isinstance(outer, ProxyFix):
            outer.app = made
        else:
            vars(app)["wsgi_app"] = made
        runtime.keep(made)
    return made


def _with_request_id(kind: type[_AppCtxGlobals]) -> type[_AppCtxGlobals]:
    """Return the class of `flask.g` with the request id."""

    class Globals(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.request_id = request_id()

    return Globals


def _propagates(app: "Flask", environ: "WSGIEnvironment") -> bool:
    """Return whether Flask raises an unhandled exception again: in debug mode, in tests, below a debugger."""
    chosen = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug if chosen is None else chosen) or (app.debug and is_debugged(environ))


def _add_trace(app: "Flask", runtime: "Runtime") -> None:
    if runtime.web.trace != "off":
        from carboy.web.tracing import add_tracing

        _middleware(app, runtime).tracing = add_tracing(app, runtime)


def _add_request_ids(app: "Flask", runtime: "Runtime") -> None:
    middleware = _behind_proxies(app, runtime)
    middleware.is_logged = True
    app.app_ctx_globals_class = _with_request_id(app.app_ctx_globals_class)
    logging.getLogger("werkzeug").addFilter(_is_not_logged_twice)


def _behind_proxies(app: "Flask", runtime: "Runtime") -> RequestMiddleware:
    middleware = _middleware(app, runtime)
    middleware.trusted_proxies = runtime.web.trusted_proxies
    middleware.trusts_prefix = runtime.web.trust_forwarded_prefix
    return middleware


def _is_not_logged_twice(record: logging.LogRecord) -> bool:
    """Drop the development server's line for a request where the part `request_ids` logs one."""
    is_request_line = isinstance(record.args, tuple) and len(record.args) == 3 and '"%s" %s %s' in str(record.msg)
    return not (is_request_line and request_log.isEnabledFor(logging.INFO))


def _add_problems(app: "Flask", runtime: "Runtime") -> None:
    handle_problems(app, runtime.web.retry_after_s, runtime.show_path, has_pages=runtime.is_adopted)


def _add_limits(app: "Flask", runtime: "Runtime") -> None:
    middleware = _behind_proxies(app, runtime)
    middleware.limits = Limits(runtime.body_limit, runtime.limiter, runtime.takes_compressed)
    app.config["MAX_CONTENT_LENGTH"] = runtime.web.max_body_bytes
    answer = problem_answerer(app, runtime.web.retry_after_s, runtime.show_path, has_pages=runtime.is_adopted)

    def refuse() -> "ResponseReturnValue | None":
        refusal = request.environ.get("carboy.refusal")
        return None if refusal is None else answer_refusal(app, refusal, answer)

    def passes(environ: "WSGIEnvironment") -> bool:
        if not runtime.is_adopted:
            return bool(app.after_request_funcs)
        is_page = "text/html" in environ.get("HTTP_ACCEPT", "")
        return is_page or bool(app.after_request_funcs) or has_own_handlers(app)

    middleware.passes_refusals = passes
    app.before_request_funcs.setdefault(None, []).insert(0, refuse)


def _add_health(app: "Flask", runtime: "Runtime") -> None:
    from carboy.web.probes import add_health

    add_health(app, runtime, _middleware(app, runtime).probes)


def _add_metrics(app: "Flask", runtime: "Runtime") -> None:
    from carboy.web.metrics_listener import add_metrics

    middleware, metrics = _middleware(app, runtime), runtime.metrics
    middleware.requests = metrics.counter("http_requests_total", "Requests answered.", ("method", "route", "status"))
    middleware.durations = metrics.histogram("http_request_duration_seconds", "Time to answer.", ("method", "route"))
    add_metrics(app, runtime)


def _add_db(_app: "Flask", runtime: "Runtime") -> None:
    def check() -> None:
        from carboy.web.health.database import check_database

        check_database(runtime.engine)
        try:
            runtime.writer.check()
        except Missing as error:
            if runtime.parts & _KEEPING:
                why = "it lacks Carboy's tables, which `carboy db upgrade` makes"
                raise Degraded("the database", why, "run `carboy db upgrade`") from error

    if runtime.has_database and find_spec("sqlalchemy") is not None:
        runtime.checks["database"] = check


def _add_jobs(app: "Flask", runtime: "Runtime") -> None:
    settings = runtime.settings.part(JobsSettings)
    if settings.jobs_engine != "embedded":
        from carboy.jobs import check_engine

        check_engine(settings)

    stats = _Stats(runtime)
    runtime.checks["job engine"] = runtime.jobs.check
    if runtime.settings["JOBS_ENGINE"] == "sqs":
        from carboy.web.queue_events import take_queue_events

        take_queue_events(app, runtime.jobs)
    if not runtime.has_database:
        return
    runtime.metrics.collect("carboy_jobs", "Jobs that are not done.", lambda: stats("count"), ("kind", "state"))
    runtime.metrics.collect(
        "carboy_job_oldest_seconds", "Age of the oldest job that is due.", lambda: stats("age_s"), ("kind", "state")
    )
    if find_spec("jsonschema_rs") is not None and find_spec("sqlalchemy") is not None:
        from carboy.web.jobs_api import add_jobs_api

        add_jobs_api(app, runtime)


class _Stats:
    """Counts and ages of the jobs by kind and state, read once per scrape."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._read: tuple[float, list[Any]] = (float("-inf"), [])

    def __call__(self, what: str) -> list[Sample]:
        now_s = self._runtime.clock.monotonic_s()
        if now_s - self._read[0] > _STATS_S:
            jobs = self._runtime.jobs
            self._read = (now_s, list(jobs.store.stats()) if jobs.registry.kinds else [])
        return [((row["kind"], row["state"]), row[what]) for row in self._read[1]]


def _add_docs(app: "Flask", runtime: "Runtime") -> None:
    from carboy.web.openapi import add_documents

    if runtime.web.api_docs:
        add_documents(app, runtime)


def _add_console(app: "Flask", runtime: "Runtime") -> None:
    from carboy.web.console.mounting import add_console

    add_console(app, runtime)
    middleware = runtime.find(RequestMiddleware)
    if middleware is not None:
        middleware.error_page = runtime.error_page


def _add_nothing(_app: "Flask", _runtime: "Runtime") -> None:
    """Do nothing: the runtime has the part."""


BEFORE_MODULES: "dict[str, Callable[[Flask, Runtime], None]]" = {
    "settings": _add_nothing,
    "logs": _add_nothing,
    "trace": _add_trace,
    "request_ids": _add_request_ids,
    "problems": _add_problems,
    "limits": _add_limits,
    "keys": _add_nothing,
}
"""Parts that are added before the modules are registered."""

AFTER_MODULES: "dict[str, Callable[[Flask, Runtime], None]]" = {
    "db": _add_db,
    "jobs": _add_jobs,
    "health": _add_health,
    "metrics": _add_metrics,
    "docs": _add_docs,
    "console": _add_console,
}
"""Parts that are added after them: where a path is the same, the module's route wins."""

LIBRARIES: dict[str, tuple[str, str]] = {
    "db": ("sqlalchemy", "db"),
    "metrics": ("prometheus_client", "metrics"),
    "docs": ("jsonschema_rs", "api"),
}
"""The library that a part needs, and the extra that installs it."""

PARTS = (*BEFORE_MODULES, *AFTER_MODULES)
"""The parts that `init_app` can add to an application, in the order in which they are added."""
