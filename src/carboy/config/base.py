"""The settings that every program has, whatever its parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carboy.config.declarations import setting
from carboy.config.profile import Profile
from carboy.errors import Fault


@dataclass(frozen=True, slots=True)
class BaseSettings:
    """The service's name, its instance folder, and its remote layers."""

    app: str = setting("flask", "the service's name in parameter paths; as a variable `APP`, as `FLASK_APP` is Flask's")
    instance_path: Path = setting(
        Path("instance"), "the folder of the embedded defaults: database, archive, SMS outbox"
    )
    parameter_store: bool = setting(False, "whether parameters of AWS Systems Manager are a layer")
    parameter_prefix: str | None = setting(
        None, "the path that the service's parameters are below; `/<profile>_<app>/` where it is not given"
    )
    config_file: str | None = setting(None, "the closed file, such as `config.yml`, to take as a layer")
    config_kms_keys: tuple[str, ...] = setting((), "the only KMS keys that may open the closed file; empty for any")
    secret_ttl_s: float = setting(300.0, "how long secrets and parameters are fresh", unit="s")
    secret_min_interval_s: float = setting(5.0, "the least time between two fetches of one secret", unit="s")
    aws_secrets_agent: str | None = setting(
        None, "the address of AWS's Secrets Manager agent or Lambda extension, such as http://127.0.0.1:2773"
    )

    def prefix(self, profile: Profile) -> str | None:
        """Return the path that the service's parameters are below; None where Parameter Store is not a layer."""
        if self.parameter_prefix:
            return self.parameter_prefix.removeprefix("optional:")
        return f"/{profile}_{self.app}/" if self.parameter_store else None

    def faults(self, _profile: Profile) -> Iterator[Fault]:
        """Yield the faults of these settings."""
        if self.parameter_prefix and not self.parameter_prefix.removeprefix("optional:").startswith("/"):
            yield Fault("PARAMETER_PREFIX", "it must begin with `/`")
