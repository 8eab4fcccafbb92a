"""Fleece's `boto3`: clients with time-outs, over `carboy.aws`; everything else is boto3's own."""
# ruff: noqa: F822
# pyright: reportUnsupportedDunderAll=false

from typing import Any

from carboy import aws
from carboy.extras import extra

__all__ = ["Config", "Session", "client", "resource", "set_default_timeout", "setup_default_session"]

_PLACES = (
    "region_name",
    "api_version",
    "use_ssl",
    "verify",
    "endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "config",
)
_DEFAULTS = {
    "DEFAULT_TIMEOUT": "timeout",
    "DEFAULT_CONNECT_TIMEOUT": "connect_timeout",
    "DEFAULT_READ_TIMEOUT": "read_timeout",
}
_defaults: dict[str, float | None] = {}


def set_default_timeout(
    timeout: float | None = None, connect_timeout: float | None = None, read_timeout: float | None = None
) -> None:
    """Set the time-outs of clients that are made from now on, in seconds; without arguments Carboy's own."""
    aws.set_default_timeout(timeout)
    _defaults.update(timeout=timeout, connect_timeout=connect_timeout, read_timeout=read_timeout)


def setup_default_session(**options: Any) -> None:
    """Set boto3's default session, of which these clients and resources are made too."""
    with extra("aws"):
        import boto3
    boto3.setup_default_session(**options)
    aws.set_default_session(boto3.DEFAULT_SESSION)


def client(service_name: str, *places: Any, **options: Any) -> Any:
    """Return boto3's client; `timeout`, `connect_timeout`, `read_timeout` and `config` are taken too.

    Args:
        service_name: such as `sns`.
        places: further arguments of boto3's, in its order: `region_name`, `api_version`, `use_ssl`, …
        options: the same by name.
    """
    return aws.client(service_name, **_with_defaults(_named(places, options)))


def resource(service_name: str, *places: Any, **options: Any) -> Any:
    """Return boto3's resource, with the arguments of `client`."""
    return aws.resource(service_name, **_with_defaults(_named(places, options)))


def _named(places: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    if len(places) > len(_PLACES):
        raise TypeError(f"at most {len(_PLACES) + 1} arguments have a place, {len(places) + 1} were given")
    return {**dict(zip(_PLACES, places, strict=False)), **options}


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    defaults = {name: value for name, value in _defaults.items() if name != "timeout"}  # which Carboy's own has
    return options if "timeout" in options else {**defaults, **options}


def __getattr__(name: str) -> Any:
    with extra("aws"):
        import boto3
        from botocore.config import Config
    if name in _DEFAULTS:
        return _defaults.get(_DEFAULTS[name])
    return Config if name == "Config" else getattr(boto3, name)
