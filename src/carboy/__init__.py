"""Carboy takes Flask services to production; nothing heavy is imported here."""

__version__ = "0.1.0"

__all__ = ["__version__"]
