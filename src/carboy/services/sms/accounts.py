"""Accounts at the providers: made from the settings, and read again when a provider refuses one.

So a rotated secret is used at the first refusal, without a restart.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from typing import Any, Literal

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, ConfigurationError
from carboy.logs import BoundLogger, get_logger
from carboy.redact import Secret
from carboy.services.sms.providers import BUILT_IN
from carboy.services.sms.providers.aws import Account as AwsAccount
from carboy.services.sms.settings import SmsSettings

log: BoundLogger = get_logger("carboy.sms")

_REFRESH_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Traits:
    """What a provider's class declares, with defaults for what it may leave out.

    Attributes:
        needs: a `text`, or a template by its `template_id`.
        max_receivers: how many one request takes.
        all_or_nothing: whether one bad receiver refuses a whole request.
        sign_field: the account's field with the sign that stands before each message; empty if there is no sign.
    """

    needs: Literal["text", "template_id"] = "text"
    max_receivers: int = 1
    all_or_nothing: bool = False
    sign_field: str = ""


def read_traits(provider: object) -> Traits:
    """Return what a provider's class declares."""
    usual: dict[str, Any] = asdict(Traits())
    return Traits(**{name: getattr(provider, name, value) for name, value in usual.items()})


def make_provider(name: str, kind: str) -> Any:
    """Return a provider of a kind: a built-in one's name, or `module:Class`.

    Raises:
        ConfigurationError: the kind is not known, or its class is not a provider.
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
        newest: returns the current settings.
        refresh: reads the settings again, with their references.
        clock: limits how often that is done.
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

    def get(self, name: str) -> Any:
        """Return the current account; without an access key of its own, with the credentials of AWS's own chain."""
        settings = self._newest()
        if settings is not self._settings:
            self._follow(settings)
        account = self._accounts[name]
        is_chained = isinstance(account, AwsAccount) and not account.access_key_id
        return _with_credentials(account) if is_chained else account

    def refresh(self, name: str, refused: Any) -> bool:
        """Read the settings again after an account was refused; return whether the account has changed."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self.get(name) == refused and now_s - self._refreshed_at_s >= _REFRESH_EVERY_S:
                self._refreshed_at_s = now_s
                self._refresh()
            return bool(self.get(name) != refused)

    def _follow(self, settings: SmsSettings) -> None:
        self._settings = settings
        try:
            self._accounts = {name: _make(name, one, settings) for name, one in self._providers.items()}
        except CarboyError as error:  # the last good accounts stay in use
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


def _with_credentials(account: AwsAccount) -> AwsAccount:
    from carboy.aws import credentials

    found = credentials()
    if found is None:
        return account
    frozen = found.get_frozen_credentials()
    return replace(
        account,
        access_key_id=frozen.access_key,
        secret_access_key=Secret(frozen.secret_key),
        session_token=Secret(frozen.token or ""),
    )
