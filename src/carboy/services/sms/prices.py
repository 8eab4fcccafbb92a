"""Prices of message parts, by provider and country. Nothing here does I/O.

[default.sms.prices]
twilio = {US = 0.0079, default = 0.05}
aliyun = 0.045
"""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from carboy.errors import Fault


def price_of(prices: Mapping[str, Any], provider: str, country: str) -> Decimal | None:
    """Return the price of one part; None if the settings do not say."""
    of_provider = prices.get(provider)
    if isinstance(of_provider, Mapping):
        of_provider = of_provider.get(country, of_provider.get("default"))
    return None if of_provider is None else Decimal(str(of_provider))


def price_faults(prices: Mapping[str, Any], providers: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of `SMS_PRICES`."""
    for name, value in prices.items():
        if name not in providers:
            yield Fault("SMS_PRICES", f"there is no provider `{name}`")
        found = value.values() if isinstance(value, Mapping) else (value,)
        if any(isinstance(one, bool) or not isinstance(one, int | float) or one < 0 for one in found):
            yield Fault("SMS_PRICES", f"`{name}` must be a number from 0, or a table of numbers by country")
