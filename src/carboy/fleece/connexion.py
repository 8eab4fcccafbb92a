"""Fleece's `connexion`: an older name of `handlers.connexion`."""

from carboy.fleece.handlers.connexion import FleeceApp, call_api, call_proxy_api, get_connexion_app

__all__ = ["FleeceApp", "call_api", "call_proxy_api", "get_connexion_app"]
