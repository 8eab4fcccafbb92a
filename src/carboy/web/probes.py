"""The routes `/livez` and `/readyz`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from carboy.logs import request_id
from carboy.problems import CONTENT_TYPE, Problem, render_problem
from carboy.web.health.readiness import Checks
from carboy.web.http.middleware import Probe
from carboy.web.http.own_routes import has_own_route

if TYPE_CHECKING:
    from flask import Flask

    from carboy.web.runtime import Runtime

_FRESH = {"Cache-Control": "no-store", "Content-Type": "application/json"}

Answer = tuple[bytes, int, Mapping[str, str]]


def add_health(app: "Flask", runtime: "Runtime", probes: dict[str, Probe]) -> None:
    """Add `/livez`, which touches nothing, and `/readyz`, which runs every check.

    Args:
        app: the application.
        runtime: the application's.
        probes: of the middleware, which answers them before Flask does: an orchestrator has neither a login nor the
            right `Host`, and a limit of requests is not meant for it.
    """
    works = runtime.metrics.gauge(
        "carboy_check_up", "Whether a part worked at the last `/readyz`: 1 or 0.", ("check",), merge="mostrecent"
    )
    checks = Checks(
        runtime.checks,
        runtime.web.ready_timeout_s,
        app.app_context,
        dependencies=runtime.dependencies,
        report=lambda name, is_up: works.set(float(is_up), (name,)),
    )
    runtime.keep(checks)

    def livez() -> Answer:
        return _render({"status": "alive"}), 200, _FRESH

    def readyz() -> Answer:
        verdicts = checks.run()
        failed = {name: verdict.why for name, verdict in verdicts.items() if not verdict.is_ok}
        degraded = [name for name, verdict in verdicts.items() if verdict.is_degraded]
        shown = {
            name: {"ok": verdict.is_ok, "latency_ms": verdict.latency_ms}
            | ({"degraded": True} if verdict.is_degraded else {})
            | ({"why": verdict.why} if verdict.why else {})
            for name, verdict in verdicts.items()
        }
        if failed:
            detail = "; ".join(f"{name}: {why}" for name, why in failed.items())
            problem = Problem(503, detail, title="Not ready", extra={"checks": shown, "degraded": degraded})
            body = render_problem(problem, "/readyz", request_id())  # not raised: the loss was logged, each once
            return body, 503, {**_FRESH, "Content-Type": CONTENT_TYPE}
        if degraded:
            return _render({"status": "degraded", "degraded": degraded, "checks": shown}), 200, _FRESH
        return _render({"status": "ready", "checks": shown}), 200, _FRESH

    def add(path: str, endpoint: str, view: Callable[[], Answer]) -> None:
        app.add_url_rule(path, endpoint, view)
        probes[path] = lambda: None if has_own_route(app, path) else view()

    add("/livez", "carboy_livez", livez)
    add("/readyz", "carboy_readyz", readyz)


def _render(document: dict[str, Any]) -> bytes:
    """Return a document as Flask renders it, whatever provider of JSON the application has."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
