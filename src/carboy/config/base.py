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

    app: str = setting(
        "flask", "the service's name in parameter paths; only as the variable `APP`, because `FLASK_APP` is Flask's"
    )
    instance_path: Path = setting(
        Path("instance"), "the folder of the embedded defaults: database, archive, SMS outbox"
    )
    parameter_store: bool = setting(False, "whether AWS Systems Manager Parameter Store is a layer")
    parameter_prefix: str | None = setting(None, "the path of the service's parameters; by default `/<profile>_<app>/`")
    config_file: str | None = setting(None, "the encrypted configuration file to read as a layer, such as `config.yml`")
    config_kms_keys: tuple[str, ...] = setting(
        (), "the KMS keys that the encrypted configuration file may use; empty for any"
    )
    secret_ttl_s: float = setting(
        300.0, "how long secrets and parameters are cached before they are refreshed", unit="s"
    )
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
