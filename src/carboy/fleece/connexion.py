"""Fleece's `connexion`: an older name of `handlers.connexion`."""

from carboy.fleece.handlers.connexion import (
    RESPONSE_CONTRACT_VIOLATION,
    FleeceApp,
    call_api,
    call_proxy_api,
    get_connexion_app,
)

__all__ = ["RESPONSE_CONTRACT_VIOLATION", "FleeceApp", "call_api", "call_proxy_api", "get_connexion_app"]
