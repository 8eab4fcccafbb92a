"""Fleece's `connexion`: an older name of `handlers.connexion`."""

from carboy.fleece.handlers.connexion import (
    RESPONSE_CONTRACT_VIOLATION,
    FleeceApp,
    build_wsgi_environ_from_event,
    call_api,
    call_proxy_api,
    get_connexion_app,
)
from carboy.fleece.log import FleeceLogger, get_logger

__all__ = [
    "RESPONSE_CONTRACT_VIOLATION",
    "FleeceApp",
    "build_wsgi_environ_from_event",
    "call_api",
    "call_proxy_api",
    "get_connexion_app",
    "logger",
]

logger: FleeceLogger = get_logger(__name__)
