"""Fleece's `utils`: one name, which Python has itself."""

from re import fullmatch

__all__ = ["fullmatch"]
