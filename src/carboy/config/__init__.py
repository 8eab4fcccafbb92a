"""Settings: layers, references, types, and the origin of each value."""

from carboy.config.base import BaseSettings
from carboy.config.declarations import REQUIRED, Derived, Setting, setting, settings_of
from carboy.config.environ import read_environ
from carboy.config.live import Changes, Live, settings_changed
from carboy.config.load import Sources, glance, load, read_sources
from carboy.config.profile import Profile
from carboy.config.remote import Parameters, ReadClosed, read_remote
from carboy.config.secret_references import Reference, Resolver, parse_reference
from carboy.config.settings import Entry, Settings
from carboy.config.values import Duration, Rate, parse_duration, parse_rate, render

__all__ = [
    "REQUIRED",
    "BaseSettings",
    "Changes",
    "Derived",
    "Duration",
    "Entry",
    "Live",
    "Parameters",
    "Profile",
    "Rate",
    "ReadClosed",
    "Reference",
    "Resolver",
    "Setting",
    "Settings",
    "Sources",
    "glance",
    "load",
    "parse_duration",
    "parse_rate",
    "parse_reference",
    "read_environ",
    "read_remote",
    "read_sources",
    "render",
    "setting",
    "settings_changed",
    "settings_of",
]
