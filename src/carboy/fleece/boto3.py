"""Fleece's `boto3`: clients with time-outs, over `carboy.aws`; everything else is boto3's own."""

from typing import Any

from carboy import aws
from carboy.extras import extra

__all__ = ["client", "resource", "set_default_timeout"]

_defaults: dict[str, float | None] = {}


def set_default_timeout(
    timeout: float | None = None, connect_timeout: float | None = None, read_timeout: float | None = None
) -> None:
    """Set the time-outs of clients that are made from now on, in seconds; without arguments Carboy's own."""
    aws.set_default_timeout(timeout)
    _defaults.update(connect_timeout=connect_timeout, read_timeout=read_timeout)


def client(service_name: str, region_name: str | None = None, **options: Any) -> Any:
    """Return boto3's client; `timeout`, `connect_timeout`, `read_timeout` and `config` are taken too."""
    return aws.client(service_name, region_name=region_name, **_with_defaults(options))


def resource(service_name: str, region_name: str | None = None, **options: Any) -> Any:
    """Return boto3's resource, with the arguments of `client`."""
    return aws.resource(service_name, region_name=region_name, **_with_defaults(options))


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    return options if "timeout" in options else {**_defaults, **options}


def __getattr__(name: str) -> Any:
    with extra("aws"):
        import boto3
    return getattr(boto3, name)
