"""The accounts at the providers: made from the settings, and read anew when a provider refuses one.

A secret that was rotated is so used at the first refusal, without a restart.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, ConfigurationError
from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.redact import Secret
from carboy.services.sms.providers import BUILT_IN
from carboy.services.sms.settings import SmsSettings

__all__ = ["Accounts", "make_provider"]

log: BoundLogger = get_logger("carboy.sms")

_REFRESH_EVERY_S = 5.0


def make_provider(name: str, kind: str) -> Any:
    """Return a provider of a kind: a built-in one's name, or `module:Class`.

    Raises:
        ConfigurationError: there is none of that kind.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]()
    module, _, attribute = kind.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the provider `{name}`", f"`{kind}` cannot be imported", "correct `use` in SMS_PROVIDERS: module:Class"
        ) from error
    made = found()
    for needed in ("build_request", "read_response", "account_type"):
        if not hasattr(made, needed):
            raise ConfigurationError(
                f"the provider `{name}`", f"`{kind}` has no `{needed}`", "see docs/how-to/add-an-sms-provider.md"
            )
    return made


class Accounts:
    """The account of each provider, for any number of threads.

    Args:
        providers: by name.
        newest: gives the settings as they are now.
        refresh: reads them anew, references and all.
        clock: so that this is not done too often.
    """

    def __init__(
        self,
        providers: Mapping[str, Any],
        newest: Callable[[], SmsSettings],
        refresh: Callable[[], object] = lambda: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._providers, self._newest, self._refresh, self._clock = providers, newest, refresh, clock
        self._settings = newest()
        self._accounts = {name: _make(name, provider, self._settings) for name, provider in providers.items()}
        self._lock = threading.Lock()
        self._refreshed_at_s = float("-inf")
        self._aws: Any = None  # boto3's session, made when a provider has no credentials of its own

    def get(self, name: str) -> Any:
        """Return the account to use now; AWS's own chain gives the credentials where the settings have none."""
        settings = self._newest()
        if settings is not self._settings:
            self._follow(settings)
        account = self._accounts[name]
        if getattr(self._providers[name], "credentials", "") == "aws" and not account.access_key_id:
            return _with_credentials(account, self._aws_session())
        return account

    def refresh(self, name: str, refused: Any) -> bool:
        """Have the settings read anew after an account was refused; return whether it is another now."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self.get(name) == refused and now_s - self._refreshed_at_s >= _REFRESH_EVERY_S:
                self._refreshed_at_s = now_s
                self._refresh()
            return bool(self.get(name) != refused)

    def _aws_session(self) -> Any:
        if self._aws is None:
            with extra("aws"):
                import boto3
            self._aws = boto3.session.Session()
        return self._aws

    def _follow(self, settings: SmsSettings) -> None:
        self._settings = settings
        try:
            self._accounts = {name: _make(name, one, settings) for name, one in self._providers.items()}
        except CarboyError as error:  # the last good ones stay
            log.warning("sms_accounts_not_refreshed", error=str(error), hint=error.hint)


def _make(name: str, provider: Any, settings: SmsSettings) -> Any:
    kind = provider.account_type
    values = settings.values_of(name)
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigurationError(
            f"the provider `{name}`", f"its account has no field `{unknown[0]}`", f"there are {', '.join(known)}"
        )
    made = {
        field: Secret(value) if known[field].type in {Secret, "Secret"} and isinstance(value, str) else value
        for field, value in values.items()
    }
    try:
        return kind(**made)
    except TypeError as error:
        raise ConfigurationError(f"the provider `{name}`", "its account lacks a field", str(error)) from error


def _with_credentials(account: Any, session: Any) -> Any:
    credentials = session.get_credentials()
    if credentials is None:
        return account
    frozen = credentials.get_frozen_credentials()
    return replace(
        account,
        access_key_id=frozen.access_key,
        secret_access_key=Secret(frozen.secret_key),
        session_token=Secret(frozen.token or ""),
    )
