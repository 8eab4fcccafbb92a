"""Distinguish Carboy's settings from an adopted application's own: in its `config`, and in the environment."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Flask

from carboy.config import Setting, settings_of

_ONLY_READ_BY = {
    "logs": ("LOG_",),
    "console": ("CONSOLE",),
    "trace": ("TRACE", "AWS_XRAY_"),
    "docs": ("API_",),
    "metrics": ("METRICS_",),
}
"""How the settings begin that one part reads: without it they are the application's own affair."""
_MAINLY_READ_BY = {
    "keys": ("AUTH", "KEYS_"),
    "limits": ("RATE_LIMIT", "MAX_BODY_"),
    "health": ("READY_",),
    "jobs": ("JOBS_",),
}
_OF_THE_DATABASE = ("DATABASE_URL", "DB_", "SQLALCHEMY_")
_WITH_DATABASE = {"db", "keys", "jobs", "console"}
_OPT_IN = {"logs", "console", "trace", "keys"}
"""Parts that do nothing by themselves, so an application uses them only if it names them."""


def configured(app: Flask, parts: Sequence[str], declaring: Iterable[type]) -> dict[str, Any]:
    """Return Carboy's settings in an application's `config`, except those of parts that it does not have.

    Args:
        app: the application.
        parts: those that it has.
        declaring: the dataclasses that declare the settings.
    """
    foreign = ("MODULES", *_beginnings(_ONLY_READ_BY, parts))
    declared = {item.name for part in declaring for item in settings_of(part)}
    given = {
        name: value
        for name, value in app.config.items()
        if name in declared and value is not None and not name.startswith(foreign)
    }
    if not given.get("DEBUG"):
        given.pop("DEBUG", None)  # Flask's own default
    if isinstance(given.get("SECRET_KEY"), bytes):
        given["SECRET_KEY"] = given["SECRET_KEY"].decode("latin-1")  # in `app.config` it stays bytes
    if "LOG_LEVEL" in given:  # a number, or one of `logging`'s other names
        level: Any = logging.getLevelNamesMapping().get(str(given["LOG_LEVEL"]).upper(), given["LOG_LEVEL"])
        given["LOG_LEVEL"] = logging.getLevelName(level)
    if app.config["MAX_CONTENT_LENGTH"] is not None:
        given.setdefault("MAX_BODY_BYTES", app.config["MAX_CONTENT_LENGTH"])
    return given


def chosen(app: Flask) -> set[str]:
    """Return the names in an application's `config` whose values are not Flask's defaults."""
    usual = {**app.default_config, "DEBUG": False}
    given = {name: value for name, value in app.config.items() if value is not None}
    return {name for name, value in given.items() if name not in usual or value != usual[name]}


def foreign_settings(app: Flask, named: Sequence[str] | None, declaring: Iterable[type]) -> dict[str, Setting]:
    """Return the settings that no part of an application uses; its environment may have other things of their names.

    Args:
        app: the application.
        named: the parts that it names; None where it takes the default ones, of which it uses those that do something
            by themselves.
        declaring: the dataclasses that declare the settings.
    """
    readers = {**_ONLY_READ_BY, **_MAINLY_READ_BY}
    used = set(readers) - _OPT_IN if named is None else set(named)
    foreign = ("DEBUG", "MODULES", *_beginnings(readers, used))
    if named is not None and not used & _WITH_DATABASE and "sqlalchemy" not in app.extensions:
        foreign += _OF_THE_DATABASE
    declared = (item for part in declaring for item in settings_of(part))
    return {item.name: item for item in declared if item.name.startswith(foreign)}


def _beginnings(readers: dict[str, tuple[str, ...]], parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for part, beginnings in readers.items() if part not in set(parts) for each in beginnings)
