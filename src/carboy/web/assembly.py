"""Put an application together: settings, logs, door, modules, and the routes for machines.

`create_app` makes one from nothing; `init_app` gives single parts to one that is there already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.ctx import _AppCtxGlobals

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Settings, Sources, load, read_sources, settings_of
from carboy.db import DbSettings
from carboy.errors import ConfigurationError, UsageError
from carboy.jobs import JobsSettings
from carboy.logs import get_logger, request_id
from carboy.web.door import Door, Limits
from carboy.web.health import add_health
from carboy.web.modules import Module, load_modules
from carboy.web.paths import SecretPaths
from carboy.web.problem_answers import handle_problems
from carboy.web.runtime import EXTENSION, Runtime
from carboy.web.settings import ModulesSettings, WebSettings, make_secret_key

if TYPE_CHECKING:
    from carboy.web.settings import WebSettings as _WebSettings  # noqa: F401

__all__ = ["PARTS", "create_app", "init_app"]

log = get_logger(__name__)

PARTS = ("settings", "logs", "request_ids", "problems", "limits", "health", "metrics", "keys", "db", "jobs", "docs")
"""What `init_app` can give to an application, in the order in which it is given."""

_OWN = (ModulesSettings, WebSettings, DbSettings, JobsSettings)


def create_app(
    profile: str | None = None,
    *,
    folder: Path | str | None = None,
    env_file: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
    **overrides: Any,
) -> Flask:
    """Return a Flask application with everything wired: what `carboy serve` runs.

    Args:
        profile: which of its lives the service is in; `FLASK_PROFILE` by default.
        folder: the project's folder, where `carboy.toml` and `.env` are; the working folder by default.
        env_file: read in place of `.env`.
        clock: what time it is.
        overrides: settings by name in lower case, stronger than every layer.

    Raises:
        ConfigurationError: with everything that is wrong with the settings; it was logged too.
    """
    try:
        sources = read_sources(
            folder=Path(folder) if folder is not None else None,
            profile=profile,
            env_file=env_file,
            overrides=overrides,
        )
        modules = load_modules(_module_names(sources))
        settings = load([*_OWN, *(part for module in modules for part in module.settings)], sources)
    except ConfigurationError as error:
        _set_up_logs(None)
        _tell_refusal(error)
        raise
    _set_up_logs(settings.part(WebSettings))
    app = Flask("carboy", static_folder=None, root_path=str(sources.folder), instance_path=_instance_path(settings))
    _fill_config(app, settings)
    app.config["PROPAGATE_EXCEPTIONS"] = False  # an error is answered and logged alike on every profile
    _assemble(app, settings, PARTS, modules, clock)
    return app


def init_app(
    app: Flask,
    parts: Sequence[str] | None = None,
    *,
    folder: Path | str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Runtime:
    """Give parts of Carboy to an application that has its own factory; its configuration and logging stay its own.

    Args:
        app: the application. What its `config` already says of a setting is stronger than every layer.
        parts: of `PARTS`; all but `logs` by default. Without `settings` the environment, `.env` and `carboy.toml`
            are not read: the defaults and `app.config` are what counts.
        folder: the project's folder; the working folder by default.
        clock: what time it is.

    Raises:
        UsageError: there is no such part, or the application has its parts already.
        ConfigurationError: with everything that is wrong with the settings.
    """
    parts = [part for part in PARTS if part != "logs"] if parts is None else list(parts)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise UsageError(f"`{unknown[0]}` is no part", f"the parts are {', '.join(PARTS)}", "correct `parts`")
    if EXTENSION in app.extensions:
        raise UsageError("the application has its parts already", "`init_app` was called before", "call it once")
    declared = {item.name for part in _OWN for item in settings_of(part)}
    given = {name: value for name, value in app.config.items() if name in declared and value is not None}
    if not given.get("DEBUG"):
        given.pop("DEBUG", None)  # Flask's own default, said by nobody
    sources = read_sources(
        folder=Path(folder) if folder is not None else None, profile=app.config.get("PROFILE"), overrides=given
    )
    if "settings" not in parts:
        sources = replace(sources, toml={}, dotenv={}, environ={})
    settings = load(_OWN, sources)
    if "logs" in parts:
        _set_up_logs(settings.part(WebSettings))
    if "settings" in parts:
        _fill_config(app, settings)
    return _assemble(app, settings, parts, (), clock)


def _assemble(
    app: Flask, settings: Settings, parts: Sequence[str], modules: Sequence[Module], clock: Clock
) -> Runtime:
    runtime = app.extensions[EXTENSION] = Runtime(app, settings, clock)
    _add_door(app, runtime, parts)
    adders: Mapping[str, Callable[[Flask, Runtime], object]] = {
        "problems": lambda app, runtime: handle_problems(app, runtime.web.retry_after_s),
        "health": add_health,
        "db": _add_db,
        "jobs": _add_jobs,
    }
    for part, add in adders.items():
        if part in parts:
            add(app, runtime)
    for module in modules:
        for job in module.jobs:
            runtime.jobs.registry.add(job)
        module.register(app)
        runtime.checks.update(module.checks)
    for warning in settings.warnings:
        log.warning("setting_unknown", warning=warning)
    return runtime


def _module_names(sources: Sources) -> tuple[str, ...]:
    """Return what `MODULES` says; other faults are left to the load that knows every setting and tells them all."""
    try:
        return load([ModulesSettings], sources).part(ModulesSettings).modules
    except ConfigurationError as error:
        if any(fault.pointer == "MODULES" for fault in error.faults):
            raise
        return ()


def _instance_path(settings: Settings) -> str:
    return str(Path(settings["INSTANCE_PATH"]).absolute())


def _fill_config(app: Flask, settings: Settings) -> None:
    web = settings.part(WebSettings)
    app.config.update({name: value for name, value in settings.flat().items() if name != "APP"})
    if app.config["SECRET_KEY"] is None:
        app.config["SECRET_KEY"] = make_secret_key()
    app.config["MAX_CONTENT_LENGTH"] = web.max_body_bytes
    app.debug = web.debug


def _set_up_logs(web: WebSettings | None) -> None:
    """Set up the log lines; without settings, when those are wrong, as plainly as possible."""


def _tell_refusal(error: ConfigurationError) -> None:
    faults = [{"setting": fault.pointer, "detail": fault.detail} for fault in error.faults]
    log.error("configuration_refused", what=error.what, why="" if faults else error.why, hint=error.hint, faults=faults)


def _add_door(app: Flask, runtime: Runtime, parts: Sequence[str]) -> None:
    web = runtime.web
    if not {"request_ids", "limits", "metrics"} & set(parts):
        return
    door = Door(
        app.wsgi_app,
        web.trusted_proxies,
        is_logged="request_ids" in parts or "logs" in parts,
        paths=cache(lambda: SecretPaths(rule.rule for rule in app.url_map.iter_rules())),
    )
    if "limits" in parts:
        door.limits = Limits(web.max_body_bytes, runtime.limiter)
        app.config["MAX_CONTENT_LENGTH"] = web.max_body_bytes
    if "metrics" in parts:
        door.requests = runtime.metrics.counter(
            "http_requests_total", "Requests answered.", ("method", "route", "status")
        )
        door.durations = runtime.metrics.histogram(
            "http_request_duration_seconds", "Time to answer a request.", ("method", "route")
        )
    app.app_ctx_globals_class = _Globals
    vars(app)["wsgi_app"] = door


class _Globals(_AppCtxGlobals):
    """`flask.g` that knows the request id from the first moment."""

    def __init__(self) -> None:
        self.request_id = request_id()


def _add_db(app: Flask, runtime: Runtime) -> None:
    from importlib.util import find_spec

    if find_spec("sqlalchemy") is None:
        return

    def check() -> None:
        with runtime.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    runtime.checks["database"] = check


def _add_jobs(app: Flask, runtime: Runtime) -> None:
    app.extensions["carboy.jobs.wake"] = runtime.jobs.wake
