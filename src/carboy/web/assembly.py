"""Assemble an application: settings, logs, middleware, modules, and the routes for machines.

`create_app` makes one; `init_app` adds parts to an existing one.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Flask

from carboy import logs
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import BaseSettings, Resolver, Settings, Sources, glance, read_sources
from carboy.db import DbSettings
from carboy.errors import ConfigurationError, MissingExtra, UsageError
from carboy.events import offer_events
from carboy.extension import EXTENSION, extension_of, find_extension
from carboy.jobs import JobsSettings
from carboy.web.adopted_settings import chosen, configured, foreign_settings
from carboy.web.auth.lazy_sessions import LazySessions
from carboy.web.configuration import load_settings
from carboy.web.http.own_routes import at_first_request, prefer_own_routes
from carboy.web.http.problem_responses import answer_own_problems
from carboy.web.modules import Module, load_modules
from carboy.web.parts import AFTER_MODULES, BEFORE_MODULES, LIBRARIES, PARTS
from carboy.web.runtime import Runtime
from carboy.web.settings import ModulesSettings, WebSettings, make_secret_key

log: logs.BoundLogger = logs.get_logger(__name__)

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
        profile: the profile's name; `FLASK_PROFILE` by default.
        folder: the project's folder, where `carboy.toml` and `.env` are; the working folder by default.
        env_file: read in place of `.env`.
        clock: the time.
        overrides: settings by name; they override every layer.

    Raises:
        ConfigurationError: with every fault of the settings, which is logged too.
    """
    root = Path(folder or ".").absolute()

    def read() -> Sources:
        return read_sources(folder=root, profile=profile, env_file=env_file, overrides=overrides)

    try:
        settings, configuration = load_settings(_export_dotenv, read, clock)
        modules = load_modules(settings["MODULES"])
        _set_up_logs(settings.part(WebSettings))
    except ConfigurationError as error:
        logs.setup()
        _log_refusal(error)
        raise
    instance = str(settings["INSTANCE_PATH"])
    app = Flask("carboy", root_path=str(root), static_folder=None, instance_path=instance)
    app.url_map.merge_slashes = False  # many a sender of webhooks follows no redirect: 404 says what is wrong
    if settings.profile.is_guarded:
        app.config.update(SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")  # the settings may override it
    _fill_config(app, settings)
    app.session_interface = LazySessions()
    app.debug = settings.part(WebSettings).debug
    if not app.testing:  # errors become responses and log lines on every profile
        app.config["PROPAGATE_EXCEPTIONS"] = False
    _assemble(app, settings, PARTS, modules, Runtime(app, settings, configuration, clock)).bind_models()
    return app


def init_app(
    app: Flask,
    parts: Sequence[str] | None = None,
    *,
    folder: Path | str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Runtime:
    """Add parts of Carboy to an application that has its own factory; its configuration and logging stay its own.

    Args:
        app: the application. A setting in its `config` overrides every layer.
        parts: of `PARTS`; by default all but `logs` and `console` whose libraries are installed. Without `settings`
            the environment, `.env` and `carboy.toml` are not read: only the defaults and `app.config` count.
        folder: the project's folder; the working folder by default.
        clock: the time.

    Raises:
        UsageError: a part is unknown, or `init_app` was called before.
        MissingExtra: the library of a part in `parts` is not installed.
        ConfigurationError: with every fault of the settings.
    """
    named = parts
    if parts is None:
        parts = [part for part in PARTS if part not in {"logs", "console"} and _has_library(part)]
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise UsageError(f"`{unknown[0]}` is not a part", f"the parts are {', '.join(PARTS)}", "correct `parts`")
    if isinstance(find_extension(app), Runtime):
        raise UsageError("the application has its parts already", "`init_app` was called before", "call it once")
    for part in parts:
        _require_library(part)
    given = configured(app, parts, (BaseSettings, *_OWN))
    foreign = foreign_settings(app, named, _OWN)
    profile = app.config.get("PROFILE")
    root = Path(folder or ".").absolute()

    def read() -> Sources:
        found = read_sources(folder=root, profile=profile if isinstance(profile, str) else None, overrides=given)
        found = replace(found, overridden_by="app.config", may_be_foreign=foreign)
        return found if "settings" in parts else replace(found, toml={}, dotenv={}, environ={})

    settings, configuration = load_settings(lambda *_: _OWN, read, clock)
    if "settings" in parts:
        read().export_undeclared(_OWN)
        _fill_config(app, settings, kept=chosen(app))
    if "logs" in parts:
        _set_up_logs(settings.part(WebSettings))
    for each in map(logging.getLogger, ("alembic.runtime.plugins", "botocore.credentials")):  # they log at each start
        each.setLevel(each.level or logging.WARNING)
    runtime = Runtime(app, settings, configuration, clock)
    runtime.is_adopted = True
    _assemble(app, settings, parts, (), runtime)
    at_first_request(app, lambda: _give_way(app))
    _warn_of_other_engines(app, settings)
    if "sqlalchemy" in app.extensions:  # else the application may make its own later
        runtime.bind_models()
    return runtime


def settings_parts(sources: Sources, resolvers: Mapping[str, Resolver] | None = None) -> list[type]:
    """Return the dataclasses that declare settings: Carboy's own, and those of `MODULES`.

    Raises:
        ConfigurationError: a module does not exist.
    """
    names = glance(ModulesSettings, sources, resolvers).modules
    return [*_OWN, *(part for module in load_modules(names) for part in module.settings)]


def _export_dotenv(sources: Sources, resolvers: Mapping[str, Resolver] | None = None) -> list[type]:
    parts = settings_parts(sources, resolvers)
    sources.export_undeclared(parts)
    return parts


def _assemble(
    app: Flask, settings: Settings, parts: Sequence[str], modules: Sequence[Module], runtime: Runtime
) -> Runtime:
    runtime.parts = frozenset(parts)
    runtime.adopt(extension_of(app))  # functions for events may be registered before
    app.extensions[EXTENSION] = runtime
    offer_events(app)
    runtime.table_groups |= {module.table_group for module in modules} - {""}
    for module in modules:
        for job in module.jobs:
            runtime.jobs.registry.add(job)
    if "problems" not in parts:
        answer_own_problems(app, runtime.web.retry_after_s, runtime.show_path)
    for part, add in BEFORE_MODULES.items():
        if part in parts:
            add(app, runtime)
    for module in modules:
        runtime.bind_models()
        module.register(app)
        runtime.checks.update(module.checks)
        runtime.dependencies.update(module.dependencies)
        runtime.pages += module.pages
    runtime.bind_later()
    for part, add in AFTER_MODULES.items():
        if part in parts:
            add(app, runtime)
    for warning in settings.warnings:
        if warning in settings.ignored:
            log.warning("setting_ignored", warning=warning)
        else:
            log.warning("setting_unknown", warning=warning)
    return runtime


def _fill_config(app: Flask, settings: Settings, kept: Collection[str] = ()) -> None:
    app.config.update({name: value for name, value in settings.flat().items() if name not in kept})
    if app.config["SECRET_KEY"] is None:
        app.config["SECRET_KEY"] = make_secret_key()


def _give_way(app: Flask) -> None:
    """Let the application's own routes win, and its CSRF protection pass requests that carry an API key."""
    prefer_own_routes(app)
    csrf: Any = app.extensions.get("csrf")  # of Flask-WTF
    if hasattr(csrf, "exempt") and "carboy_jobs" in app.blueprints:
        csrf.exempt(app.blueprints["carboy_jobs"])


def _warn_of_other_engines(app: Flask, settings: Settings) -> None:
    others = {name for name in app.config if name.endswith(("_DATABASE_URL", "_DATABASE_URI"))}
    others.discard("SQLALCHEMY_DATABASE_URI")  # of Flask-SQLAlchemy, which may come after
    if settings.part(DbSettings).db_secret_name and others:
        hint = "an engine of Flask-SQLAlchemy logs in by DB_SECRET_NAME; for another call runtime(app).prepare(engine)"
        log.warning("other_engine", settings=sorted(others), hint=hint)


def _has_library(part: str) -> bool:
    return part not in LIBRARIES or find_spec(LIBRARIES[part][0]) is not None


def _require_library(part: str) -> None:
    if not _has_library(part):
        library, named = LIBRARIES[part]
        why = f"`{library}` could not be imported"
        raise MissingExtra(f"the part `{part}` is not installed", why, f"pip install 'carboy[{named}]'")


def _set_up_logs(web: WebSettings) -> None:
    logs.setup(
        web.log_level,
        web.log_format,
        file=web.log_file,
        file_max_bytes=web.log_file_max_bytes,
        file_max_count=web.log_file_max_count,
    )
    for name in ("alembic", "botocore"):  # they log each plugin, and where they found each setting
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_refusal(error: ConfigurationError) -> None:
    faults = [{"setting": fault.pointer, "detail": fault.detail} for fault in error.faults]
    log.error("configuration_refused", what=error.what, why="" if faults else error.why, hint=error.hint, faults=faults)
