"""Read the remote layers: the encrypted file, and everything below a prefix of Parameter Store.

The readers are arguments; this module does not import AWS.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from carboy.config.base import BaseSettings
from carboy.config.load import Sources
from carboy.errors import CarboyError, Fault


class Parameters(Protocol):
    """Lists parameters."""

    def below(self, prefix: str) -> Mapping[str, str]:
        """Return everything below a path, by its full name."""
        ...


ReadClosed = Callable[[Path, str, tuple[str, ...]], Mapping[str, Any]]
"""Reads the closed file at a path for a stage, with these KMS keys only."""


def read_remote(
    sources: Sources, base: BaseSettings, parameters: Callable[[], Parameters], read_closed: ReadClosed
) -> Sources:
    """Return the sources with their remote layers; a layer that cannot be read becomes a fault.

    Args:
        sources: what was read so far.
        base: the settings of the layers.
        parameters: returns Parameter Store, where it is a layer.
        read_closed: reads the encrypted file, where it is a layer.
    """
    closed: Mapping[str, Any] = {}
    found: Mapping[str, str] = {}
    faults: list[Fault] = []
    if base.config_file:
        try:
            closed = read_closed(sources.folder / base.config_file, sources.profile.name, base.config_kms_keys)
        except CarboyError as error:
            faults.append(Fault("CONFIG_FILE", _why(error)))
    prefix = base.prefix(sources.profile)
    if prefix is not None:
        try:
            found = parameters().below(prefix)
        except CarboyError as error:
            faults.append(Fault("PARAMETER_PREFIX", _why(error)))
        else:
            if not found and not (base.parameter_prefix or "").startswith("optional:"):
                detail = f"there is no parameter below `{prefix}`; put `optional:` before it if that is not a fault"
                faults.append(Fault("PARAMETER_PREFIX", detail))
    return replace(sources, closed=closed, parameters=(prefix or "/", found), faults=(*sources.faults, *faults))


def _why(error: CarboyError) -> str:
    return f"{error}" + (f" ({error.hint})" if error.hint else "")
