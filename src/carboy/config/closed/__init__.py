"""The closed configuration file: configuration in git, its secrets encrypted by KMS, per stage."""

from carboy.config.closed.file import load_stage
from carboy.config.closed.keyring import KeyService, WrongKey
from carboy.config.closed.kms import Kms, connect_kms

__all__ = ["KeyService", "Kms", "WrongKey", "connect_kms", "load_stage"]
