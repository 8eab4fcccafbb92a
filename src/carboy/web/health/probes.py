"""What machines ask: is it alive, can it work."""

from typing import TYPE_CHECKING

from carboy.problems import Problem
from carboy.web.health.readiness import Checks

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

__all__ = ["add_health"]

_FRESH = {"Cache-Control": "no-store"}


def add_health(app: "Flask", runtime: "Runtime") -> None:
    """Add `/livez`, which touches nothing, and `/readyz`, which asks every check."""
    checks = Checks(runtime.checks, runtime.web.ready_timeout_s, app.app_context)

    def livez() -> "ResponseReturnValue":
        return {"status": "alive"}, 200, _FRESH

    def readyz() -> "ResponseReturnValue":
        verdicts = checks.run()
        failed = {name: verdict.why for name, verdict in verdicts.items() if not verdict.is_ok}
        shown = {
            name: {"ok": verdict.is_ok, "latency_ms": verdict.latency_ms}
            | ({"degraded": True} if verdict.is_degraded else {})
            | ({"why": verdict.why} if verdict.why else {})
            for name, verdict in verdicts.items()
        }
        if failed:
            detail = "; ".join(f"{name}: {why}" for name, why in failed.items())
            raise Problem(503, detail, title="Not ready", headers=_FRESH, extra={"checks": shown})
        is_whole = not any(verdict.is_degraded for verdict in verdicts.values())
        return {"status": "ready" if is_whole else "degraded", "checks": shown}, 200, _FRESH

    app.add_url_rule("/livez", "carboy_livez", livez)
    app.add_url_rule("/readyz", "carboy_readyz", readyz)
