"""Settings of the SMS gateway."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from carboy.config import Derived, Duration, Profile, parse_rate, setting
from carboy.errors import Fault
from carboy.redact import Secret
from carboy.services.sms.keywords import keyword_faults
from carboy.services.sms.numbers import NUMBER_TYPES
from carboy.services.sms.prices import price_faults
from carboy.services.sms.providers import BUILT_IN
from carboy.services.sms.quiet_hours import quiet_faults
from carboy.services.sms.request_options import read_callback_url
from carboy.services.sms.routing import read_order, read_routes, route_faults
from carboy.services.sms.templates import template_faults
from carboy.services.sms.tutorial_settings import conf_faults, providers_of, templates_of

_MOST = 2**31 - 1
_E164 = re.compile(r"\+[1-9]\d{3,14}")

_CAPTCHA = {"captcha": {"params": ["code"], "otp": True, "text": "Your code is {code}"}}


def _settings(prefix: str, *names: str) -> dict[str, str]:
    return {name: f"{prefix}_{name}" for name in names}


_AWS = _settings("aws_sms", "region", "access_key_id", "secret_access_key", "origination", "sender_id")

ACCOUNTS: dict[str, dict[str, str]] = {
    "aliyun": {
        "url": "aliyun_url",
        **_settings("aliyun_sms", "app_key", "app_secret", "sign_name", "region_id", "version", "signature"),
    },
    "aws": {"url": "aws_sms_url", **_AWS, "configuration_set": "aws_sms_configuration_set"},
    "huawei": {
        **_settings("huawei", "url", "ca"),
        **_settings("huawei_sms", "app_key", "app_secret", "sender_id", "signature"),
    },
    "outbox": {"path": "sms_outbox"},
    "sns": {"url": "sns_url", **_AWS},
    "tencent": _settings("tencent", "url", "secret_id", "secret_key", "sdk_app_id", "sign_name", "region"),
    "twilio": {**_settings("twilio", "url", "account_sid", "auth_token"), "from_": "twilio_from"},
}
"""The settings that make the account of each built-in provider: field to setting."""

_NEEDED = {
    "aliyun": ("app_key", "app_secret", "sign_name"),
    "huawei": ("url", "app_key", "app_secret", "sender_id"),
    "tencent": ("secret_id", "secret_key", "sdk_app_id"),
    "twilio": ("account_sid", "auth_token", "from_"),
}


def _outbox(get: Callable[[str], Any]) -> Path:
    return Path(get("INSTANCE_PATH")) / "sms-outbox.jsonl"


def _guarded(*limits: str) -> Callable[[Callable[[str], Any]], Any]:
    return lambda get: limits if Profile(get("PROFILE")).is_guarded else ("off",)


def _guarded_min(get: Callable[[str], Any]) -> float:
    return 0.05 if Profile(get("PROFILE")).is_guarded else 0.0


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """Settings of the SMS gateway: templates, receivers, limits and providers."""

    sms_provider: tuple[str, ...] = setting(
        ("outbox",), "the providers: one, an order (`aliyun,twilio`), or weights (`aliyun:3,twilio:1`)"
    )
    sms_providers: dict[str, dict[str, Any]] = setting(
        {}, "your own providers, or further accounts: tables with `use` and the account's fields"
    )
    sms_templates: dict[str, dict[str, Any]] = setting(_CAPTCHA, "what may be sent, by name")
    sms_conf: dict[str, Any] = setting(
        {}, "the SMS tutorial's dictionary of providers; SMS_PROVIDERS and SMS_TEMPLATES take precedence"
    )
    sms_default_region: str = setting(
        "", "the country of numbers without a country code, such as CN; if empty, only E.164 is accepted"
    )
    sms_countries: tuple[str, ...] = setting(
        (), "countries to which messages may be sent, such as CN,US; required outside of `local` and `test`"
    )
    sms_number_types: tuple[str, ...] = setting(
        ("mobile", "fixed_line_or_mobile"),
        "allowed types of number, as libphonenumber names them, such as premium_rate or fixed_line",
    )
    sms_test_numbers: tuple[str, ...] = setting(
        (), "numbers in E.164, of any type, that are accepted and never sent to; their messages end `delivered`"
    )
    sms_routes: dict[str, dict[str, Any]] = setting(
        {}, "how messages to a country are sent: tables by ISO 3166 code with provider, sign_name, from, dlt_entity_id"
    )
    sms_quiet_hours: dict[str, str] = setting(
        {}, 'for each kind of template, when receivers get none, in their own time: `marketing = "20:00-08:00"`'
    )
    sms_stop_words: tuple[str, ...] = setting(
        ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "退订", "TD", "T"),
        "inbound messages that opt their sender out of marketing messages; START opts in again",
    )
    sms_callback_url: str = setting(
        "", "the URL to which changes of message states are posted; a request may have its own"
    )
    sms_callback_secret: tuple[Secret, ...] = setting(
        (), "signs callbacks (Standard Webhooks, `whsec_…`); several while one is being replaced"
    )
    sms_callback_hosts: tuple[str, ...] = setting((), "hosts that are allowed in the `callback_url` of a request")
    sms_prices: dict[str, Any] = setting(
        {}, "the price of a part, by provider: a number, or a table by country, `default` for the others"
    )
    sms_receiver_limits: tuple[str, ...] = setting(
        ("1/60s", "5/h", "10/day"), "how many messages with `otp = true` a receiver gets; `off` for no limit"
    )
    sms_prefix_limits: tuple[str, ...] = setting(
        Derived(_guarded("20/60s", "60/h"), "`off` on `local` and `test`, else `20/60s,60/h`"),
        "how many messages with `otp = true` are sent to one range of ten thousand numbers",
    )
    sms_client_limits: tuple[str, ...] = setting(
        Derived(_guarded("5/60s", "20/h"), "`off` on `local` and `test`, else `5/60s,20/h`"),
        "how many one-time passwords one client gets: the `client_ip` that the caller names, or a client without a key",
    )
    sms_conversion_min: float = setting(
        Derived(_guarded_min, "`0` on `local` and `test`, else `0.05`"),
        "the part of a range's one-time passwords that must be entered, where others' are; 0 asks for none",
        least=0,
        most=1,
    )
    sms_conversion_after: int = setting(
        50, "one-time passwords sent to a range in a day before that is asked", least=1, most=_MOST
    )
    sms_daily_budget: int = setting(0, "messages per API key and day, UTC; 0 for no limit", least=0, most=_MOST)
    sms_resend_unknown: bool = setting(
        False, "whether a message whose response was lost is sent again, so that it may arrive twice"
    )
    sms_retention: Duration = setting(
        Duration("30d"), "how long numbers and the providers' messages are kept; a hash and a mask remain"
    )
    sms_expires: Duration = setting(
        Duration("1h"), "how long a message may wait to be sent; one with a code, as long as the code is valid"
    )
    sms_outbox: Path = setting(
        Derived(_outbox, "<instance>/sms-outbox.jsonl"), "the file to which the provider `outbox` writes"
    )
    sms_public_url: str = setting("", "the public address of this service, to which providers send receipts")
    sms_receipt_tokens: tuple[Secret, ...] = setting(
        (), "path tokens for receipts at `/api/sms/receipts/<provider>/<token>`; providers are given the first"
    )
    sms_timeout_s: float = setting(5.0, "how long a provider's complete response may take", unit="s", least=0.01)
    sms_connect_timeout_s: float = setting(2.0, "how long connecting to a provider may take", unit="s", least=0.01)
    sms_circuit_s: float = setting(30.0, "how long a provider that failed is skipped", unit="s", least=0.01)
    sms_circuit_failures: int = setting(1, "failures in a row that open a provider's circuit", least=1)
    sms_waiters: int = setting(
        16, "requests with `wait` at the same time; further ones are answered with 202 at once", least=0
    )
    sms_code_expires: Duration = setting(Duration("5m"), "how long a one-time password is valid")
    sms_code_tries: int = setting(5, "how many attempts a one-time password allows", least=1, most=100)
    sms_code_digits: int = setting(6, "digits of a one-time password", least=4, most=10)

    aliyun_url: str = setting("https://dysmsapi.aliyuncs.com", "Aliyun: the endpoint")
    aliyun_sms_app_key: str = setting("", "Aliyun: the AccessKey id")
    aliyun_sms_app_secret: Secret = setting(Secret(""), "Aliyun: the AccessKey secret")
    aliyun_sms_region_id: str = setting("cn-hangzhou", "Aliyun: the region")
    aliyun_sms_sign_name: str = setting("", "Aliyun: the sender's sign")
    aliyun_sms_version: str = setting("2017-05-25", "Aliyun: the API's version")
    aliyun_sms_signature: Literal["v1", "v3"] = setting("v3", "Aliyun: how requests are signed")
    huawei_url: str = setting("", "Huawei: the application's address")
    huawei_ca: Path | None = setting(
        None, "Huawei: a PEM file with the certificates that sign the endpoint's; by default the system's"
    )
    huawei_sms_app_key: str = setting("", "Huawei: the application's key")
    huawei_sms_app_secret: Secret = setting(Secret(""), "Huawei: the application's secret")
    huawei_sms_sender_id: str = setting("", "Huawei: the channel number")
    huawei_sms_signature: str = setting("", "Huawei: the signature's name, for universal templates")
    twilio_url: str = setting("https://api.twilio.com", "Twilio: the API")
    twilio_account_sid: str = setting("", "Twilio: the account")
    twilio_auth_token: Secret = setting(Secret(""), "Twilio: the auth token")
    twilio_from: str = setting("", "Twilio: the sending number or messaging service")
    tencent_url: str = setting("https://sms.tencentcloudapi.com", "Tencent: the endpoint")
    tencent_secret_id: str = setting("", "Tencent: the key's id")
    tencent_secret_key: Secret = setting(Secret(""), "Tencent: the key")
    tencent_sdk_app_id: str = setting("", "Tencent: the SMS application")
    tencent_sign_name: str = setting("", "Tencent: the sender's sign")
    tencent_region: str = setting("ap-guangzhou", "Tencent: the region")
    aws_sms_url: str = setting("", "End User Messaging: another endpoint than the region's own")
    sns_url: str = setting("", "SNS: another endpoint than the region's own")
    aws_sms_region: str = setting("us-east-1", "AWS: the region of the endpoint")
    aws_sms_access_key_id: str = setting("", "AWS: a key of its own; by default AWS's chain of credentials")
    aws_sms_secret_access_key: Secret = setting(Secret(""), "AWS: the secret of that key")
    aws_sms_origination: str = setting("", "AWS: the sending number or pool")
    aws_sms_sender_id: str = setting("", "AWS: the sender's name")
    aws_sms_configuration_set: str = setting("", "End User Messaging: the configuration set, which directs events")
    aws_sms_topic_arns: tuple[str, ...] = setting((), "SNS topics that may bring events, beside SNS_TOPIC_ARNS")

    @property
    def providers(self) -> dict[str, dict[str, Any]]:
        """The tables of providers: of `SMS_PROVIDERS`, and those of `SMS_CONF` that it has not."""
        return {**providers_of(self.sms_conf, ACCOUNTS), **self.sms_providers}

    @property
    def templates(self) -> dict[str, Mapping[str, Any]]:
        """The tables of templates, with the ids that `SMS_CONF` adds."""
        return templates_of(self.sms_conf, self.sms_templates)

    def values_of(self, name: str) -> dict[str, Any]:
        """Return the fields of a provider's account: its table, over the settings of its kind."""
        table = dict(self.providers.get(name, {}))
        kind = table.pop("use", name)
        values = {field: getattr(self, given) for field, given in ACCOUNTS.get(kind, {}).items()}
        return {**values, **table}

    def ordered_providers(self) -> list[str]:
        """Return the providers of `SMS_PROVIDER`, then those that only countries have in `SMS_ROUTES`."""
        orders = [read_order(self.sms_provider), *(one.places for one in read_routes(self.sms_routes).values())]
        return list(dict.fromkeys(place.name for places in orders for place in places))

    def kind_of(self, name: str) -> str:
        """Return the kind of a provider: a built-in one's name, or `module:Class`, also from `module.Class`."""
        kind = str(self.providers.get(name, {}).get("use", name))
        if kind in BUILT_IN or ":" in kind or "." not in kind:
            return kind
        return ":".join(kind.rsplit(".", 1))

    def faults(self, profile: Profile) -> Iterator[Fault]:
        """Yield the faults of these settings."""
        if profile.is_guarded and not self.sms_countries:
            yield Fault(
                "SMS_COUNTRIES", f"profile `{profile}` needs the countries to which messages may be sent, such as CN,US"
            )
        yield from self._order_faults(profile)
        for name in ("sms_receiver_limits", "sms_prefix_limits", "sms_client_limits"):
            for text in getattr(self, name):
                try:
                    parse_rate(text)
                except ValueError as error:
                    yield Fault(name.upper(), str(error))
        yield from quiet_faults(self.sms_quiet_hours)
        yield from keyword_faults(self.sms_stop_words)
        yield from self._callback_faults(profile)
        yield from conf_faults(self.sms_conf, self.sms_templates, ACCOUNTS)
        known = {*BUILT_IN, *self.providers}
        yield from route_faults(self.sms_routes, known)
        yield from price_faults(self.sms_prices, known)
        for name, table in self.templates.items():
            yield from template_faults(name, table, known)
        for name in self.sms_number_types:
            if name not in NUMBER_TYPES:
                yield Fault("SMS_NUMBER_TYPES", f"`{name}` is not a type; there are {', '.join(NUMBER_TYPES)}")

    def _callback_faults(self, profile: Profile) -> Iterator[Fault]:
        from carboy.webhooks import StandardWebhooks

        if self.sms_callback_url:
            _, why = read_callback_url(self.sms_callback_url, allow_http=not profile.is_guarded, allow_user=True)
            if why:
                yield Fault("SMS_CALLBACK_URL", f"{why} on this profile")
        for one in self.sms_callback_secret:
            if why := StandardWebhooks().check_secret(one.reveal()):
                yield Fault("SMS_CALLBACK_SECRET", f"it {why}")
        if profile.is_guarded and (self.sms_callback_url or self.sms_callback_hosts) and not self.sms_callback_secret:
            yield Fault("SMS_CALLBACK_SECRET", "call-backs must be signed on this profile: whsec_ and base64")
        for number in self.sms_test_numbers:
            if not _E164.fullmatch(number):
                yield Fault("SMS_TEST_NUMBERS", "a number is not E.164, such as +15005550006")

    def _order_faults(self, profile: Profile) -> Iterator[Fault]:
        if not self.sms_provider:
            yield Fault("SMS_PROVIDER", "it names no provider; `outbox` writes to a file")
        try:
            read_order(self.sms_provider)
        except ValueError as error:
            yield Fault("SMS_PROVIDER", str(error))
            return
        known = {*BUILT_IN, *self.sms_providers}
        if not any(route_faults(self.sms_routes, known)):
            for name in self.ordered_providers():
                yield from self._provider_faults(name, profile)

    def _provider_faults(self, name: str, profile: Profile) -> Iterator[Fault]:
        kind = self.kind_of(name)
        if kind not in BUILT_IN:
            if ":" not in kind:
                yield Fault("SMS_PROVIDER", f"`{name}`: there is no such provider; there are {', '.join(BUILT_IN)}")
            return
        values = self.values_of(name)
        for field in _NEEDED.get(kind, ()):
            value = values.get(field)
            if not (value.reveal() if isinstance(value, Secret) else value):
                yield Fault(ACCOUNTS[kind][field].upper(), f"the provider `{name}` needs it")
        if values.get("ca") and not Path(str(values["ca"])).is_file():
            yield Fault(ACCOUNTS[kind].get("ca", "SMS_PROVIDERS").upper(), f"there is no file {values['ca']}")
        url = str(values.get("url") or "")
        if profile.is_guarded and url and not url.startswith("https://"):
            yield Fault(ACCOUNTS[kind]["url"].upper(), "it must begin with https:// on this profile")
