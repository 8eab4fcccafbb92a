"""The settings that every program has, whatever its parts."""

from dataclasses import dataclass
from pathlib import Path

from carboy.config.schema import setting

__all__ = ["BaseSettings"]


@dataclass(frozen=True, slots=True)
class BaseSettings:
    """The service's name and where its embedded defaults live."""

    app: str = setting("flask", "the service's name in parameter paths; as a variable `APP`, as `FLASK_APP` is Flask's")
    instance_path: Path = setting(
        Path("instance"), "the folder of the embedded defaults: database, archive, SMS outbox"
    )
