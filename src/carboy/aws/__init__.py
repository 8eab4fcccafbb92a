"""Clients of AWS that fail fast."""

from carboy.aws.clients import client

__all__ = ["client"]
