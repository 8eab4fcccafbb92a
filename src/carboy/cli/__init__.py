"""The command `carboy`."""

from carboy.cli.main import cli, main

__all__ = ["cli", "main"]
