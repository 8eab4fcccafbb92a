"""Configuration provider of an application: its settings from all layers, and the vaults of its secrets.

Nothing of AWS is imported unless a setting asks for it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import (
    BaseSettings,
    Live,
    Reference,
    Resolver,
    Settings,
    Sources,
    glance,
    load,
    read_remote,
    settings_changed,
)
from carboy.db import DbSettings
from carboy.errors import CarboyError
from carboy.logs import BoundLogger, get_logger

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from carboy.aws import ParameterCache, SecretCache
    from carboy.db import Connector, Credentials

log: BoundLogger = get_logger(__name__)

PartsOf = Callable[[Sources, Mapping[str, Resolver]], Sequence[type]]
"""Returns the parts whose settings to load, given every layer."""


class ConfigProvider:
    """The layers and vaults of an application's settings.

    Args:
        base: the settings of the layers, and of how long values are fresh.
        clock: measures the age of secrets and parameters.
    """

    def __init__(self, base: BaseSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        self._base, self._clock = base, clock
        self.live: Live | None = None

    @cached_property
    def secrets(self) -> "SecretCache":
        """The secrets of Secrets Manager."""
        from carboy.aws import SecretCache

        base = self._base
        return SecretCache(
            ttl_s=base.secret_ttl_s,
            min_interval_s=base.secret_min_interval_s,
            agent=base.aws_secrets_agent,
            clock=self._clock,
        )

    @cached_property
    def parameters(self) -> "ParameterCache":
        """The parameters of Parameter Store."""
        from carboy.aws import ParameterCache

        base = self._base
        return ParameterCache(ttl_s=base.secret_ttl_s, min_interval_s=base.secret_min_interval_s, clock=self._clock)

    def resolvers(self, *, renew: bool = False) -> dict[str, Resolver]:
        """Return the resolvers of references by scheme, which connect to AWS on demand.

        Args:
            renew: fetch cached values again, except those fetched within `SECRET_MIN_INTERVAL_S`.
        """
        return {
            "aws-secretsmanager": _OnDemand(lambda: self._secret_resolver(renew)),
            "aws-parameterstore": _OnDemand(lambda: self._parameter_resolver(renew)),
        }

    def read(self, sources: Sources) -> Sources:
        """Return the sources with the encrypted file and Parameter Store."""
        return read_remote(sources, self._base, lambda: self.parameters, _read_closed)

    def follow(self, settings: Settings, reload: Callable[[], Settings]) -> Live:
        """Make `settings.live` return the newest values, reloaded when they are stale."""
        changes_by_itself = bool(settings.references) or self._base.prefix(settings.profile) is not None
        self.live = Live(
            settings,
            reload,
            ttl_s=self._base.secret_ttl_s if changes_by_itself else None,
            min_interval_s=self._base.secret_min_interval_s,
            pin=_pin,
            on_refused=_log_refusal,
            clock=self._clock,
        )
        settings_changed.connect(_log_changes, sender=settings)
        return self.live

    def engine(self, settings: Settings) -> "Engine":
        """Return an engine whose credentials and address follow the settings."""
        from carboy.db import engine

        db = settings.part(DbSettings)
        credentials = self.credentials(settings)
        return engine(db, credentials, connector=self.connector(settings, credentials))

    def connector(self, settings: Settings, credentials: "Credentials | None") -> "Connector":
        """Return the connector with these credentials and the address of the newest settings."""
        from carboy.db import Address, Connector

        def where() -> Address:
            return Address(settings.live("DB_HOST"), settings.live("DB_PORT"), settings.live("DB_NAME"))

        def on_unavailable() -> None:
            if self.live is not None:
                self.live.ask()

        return Connector(
            settings.part(DbSettings),
            credentials,
            where=where,
            on_unavailable=on_unavailable,
            probe_s=self._base.secret_min_interval_s,
        )

    def credentials(self, settings: Settings) -> "Credentials | None":
        """Return the vault that the settings of the database name; None where its URL has user and password."""
        db = settings.part(DbSettings)
        if db.db_secret_name:
            from carboy.aws import SecretLogins

            return SecretLogins(self.secrets, lambda: settings.live("DB_SECRET_NAME") or str(db.db_secret_name))
        if db.db_auth == "iam":
            from carboy.aws import IamLogins
            from carboy.db import endpoint_of

            return IamLogins(
                lambda: endpoint_of(db, settings.live("DB_HOST"), settings.live("DB_PORT")),
                min_interval_s=self._base.secret_min_interval_s,
                clock=self._clock,
            )
        return None

    def _secret_resolver(self, renew: bool) -> Resolver:
        from carboy.aws import SecretResolver

        return SecretResolver(self.secrets, renew=renew)

    def _parameter_resolver(self, renew: bool) -> Resolver:
        from carboy.aws import ParameterResolver

        return ParameterResolver(self.parameters, renew=renew)


def load_settings(
    parts_of: PartsOf, read: Callable[[], Sources], clock: Clock = SYSTEM_CLOCK
) -> tuple[Settings, ConfigProvider]:
    """Return the settings of all layers, and where they come from.

    Args:
        parts_of: returns the parts whose settings to load.
        read: reads the local layers; called again at each refresh.
        clock: measures the age of secrets and parameters.

    Raises:
        ConfigurationError: with every fault at once.
    """
    here = read()
    provider = ConfigProvider(glance(BaseSettings, here), clock)

    def load_all(near: Sources, *, renew: bool) -> Settings:
        sources, resolvers = provider.read(near), provider.resolvers(renew=renew)
        return load(parts_of(sources, resolvers), sources, resolvers=resolvers)

    settings = load_all(here, renew=False)
    provider.follow(settings, lambda: load_all(read(), renew=True))
    return settings, provider


class _OnDemand:
    """A resolver that is made at its first use."""

    def __init__(self, make: Callable[[], Resolver]) -> None:
        self._make = make

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str | CarboyError | None]:
        return self._make().resolve(references)


def _read_closed(path: Path, stage: str, allowed_keys: tuple[str, ...]) -> Mapping[str, Any]:
    from carboy.aws import Kms, client
    from carboy.config.encrypted import load_stage

    return load_stage(path, stage, Kms(client("kms")), allowed_keys=allowed_keys)


def _pin(newest: Settings) -> Settings:
    """Return the settings that this request uses already, or the newest."""
    has_request, current = _request_globals()
    return current().setdefault("carboy_settings", newest) if has_request() else newest


@cache
def _request_globals() -> tuple[Callable[[], bool], Callable[[], Any]]:
    """Return what reports whether there is a request, and what returns its `g` itself: each use of the proxy costs."""
    from flask import g, has_request_context

    return has_request_context, g._get_current_object


def _log_changes(_settings: Settings, added: frozenset[str], changed: frozenset[str], removed: frozenset[str]) -> None:
    """Log the names of the settings that a refresh changed."""
    log.info("settings_changed", added=sorted(added), changed=sorted(changed), removed=sorted(removed))


def _log_refusal(error: CarboyError) -> None:
    log.error("settings_refused", what=error.what, why=error.why, hint=error.hint)
