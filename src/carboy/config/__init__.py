"""What the settings are, where each came from."""

from carboy.config.base import BaseSettings
from carboy.config.load import Sources, load, read_sources
from carboy.config.profile import Profile
from carboy.config.references import Reference, Resolver
from carboy.config.schema import REQUIRED, Derived, Setting, setting, settings_of
from carboy.config.settings import Entry, Settings
from carboy.config.values import Duration, Rate, parse_duration, parse_rate, render

__all__ = [
    "REQUIRED",
    "BaseSettings",
    "Derived",
    "Duration",
    "Entry",
    "Profile",
    "Rate",
    "Reference",
    "Resolver",
    "Setting",
    "Settings",
    "Sources",
    "load",
    "parse_duration",
    "parse_rate",
    "read_sources",
    "render",
    "setting",
    "settings_of",
]
