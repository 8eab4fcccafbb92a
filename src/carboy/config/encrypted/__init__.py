"""The closed configuration file: configuration in git, its secrets encrypted by KMS, per stage."""

from carboy.config.encrypted.file import load_stage
from carboy.config.encrypted.keyring import KeyService, WrongKey

__all__ = ["KeyService", "WrongKey", "load_stage"]
