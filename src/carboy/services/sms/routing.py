"""Routing: the order in which providers are tried, by country, position or weight. Nothing here does I/O."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from carboy.errors import Fault
from carboy.jitter import SYSTEM_RANDOM


@dataclass(frozen=True, slots=True)
class WeightedRoute:
    """A provider in `SMS_PROVIDER`: `aliyun`, or `aliyun:3` with a weight."""

    name: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class CountryRoute:
    """How messages to one country are sent.

    Attributes:
        places: the order of the providers; empty for that of `SMS_PROVIDER`.
        sign_name: the sender's sign; empty for the template's or the account's.
        sender: the number or name that messages come from; empty for the account's.
        dlt_entity_id: of our company at India's DLT platform.
    """

    places: Sequence[WeightedRoute] = ()
    sign_name: str = ""
    sender: str = ""
    dlt_entity_id: str = ""


_REGION = re.compile(r"[A-Z]{2}")
_FIELDS = ("provider", "sign_name", "from", "dlt_entity_id")


def read_routes(table: Mapping[str, Mapping[str, Any]]) -> dict[str, CountryRoute]:
    """Return the routes by country, of a table without `route_faults`."""
    return {
        country: CountryRoute(
            read_order(_texts(one.get("provider", ()))),
            str(one.get("sign_name", "")),
            str(one.get("from", "")),
            str(one.get("dlt_entity_id", "")),
        )
        for country, one in table.items()
    }


def route_faults(table: Mapping[str, Any], providers: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of `SMS_ROUTES`.

    Args:
        table: from the settings.
        providers: the names that a route may have.
    """
    for country, one in table.items():
        if not _REGION.fullmatch(country):
            yield Fault("SMS_ROUTES", f"`{country}` is no country: write its ISO 3166 code in capitals, such as CN")
        if not isinstance(one, Mapping):
            yield Fault("SMS_ROUTES", f"`{country}` must be a table")
            continue
        for name in sorted(set(one) - set(_FIELDS)):
            yield Fault("SMS_ROUTES", f"`{country}.{name}` does not exist; there are {', '.join(_FIELDS)}")
        try:
            named = [place.name for place in read_order(_texts(one.get("provider", ())))]
        except ValueError as error:
            yield Fault("SMS_ROUTES", f"`{country}.provider`: {error}")
            continue
        for name in named:
            if name not in providers:
                yield Fault("SMS_ROUTES", f"`{country}.provider`: there is no provider `{name}`")


def _texts(given: Any) -> list[str]:
    """Return the texts of a list, or of one text with commas."""
    parts = given.split(",") if isinstance(given, str) else map(str, given)
    return [one.strip() for one in parts if one.strip()]


def read_order(texts: Sequence[str]) -> list[WeightedRoute]:
    """Return the routes of `SMS_PROVIDER`.

    Raises:
        ValueError: a weight is not a number above 0, a name comes twice, or only some have weights.
    """
    routes = []
    for text in texts:
        name, colon, weight = text.partition(":")
        try:
            value = float(weight) if colon else None
        except ValueError:
            value = 0.0
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"the weight of `{name}` must be a number above 0")
        routes.append(WeightedRoute(name.strip(), value))
    if len({one.name for one in routes}) < len(routes):
        raise ValueError("a provider is named twice")
    if len({one.weight is None for one in routes}) > 1:
        raise ValueError("give all providers a weight, or none")
    return routes


def draw_order(
    routes: Sequence[WeightedRoute],
    factors: Mapping[str, float] | None = None,
    draw: Callable[[], float] = SYSTEM_RANDOM.random,
) -> list[str]:
    """Return the providers in the order in which one message tries them: each is drawn in turn, by its share.

    Args:
        routes: of `SMS_PROVIDER`.
        factors: of each provider's health; a provider that is not named has its whole share.
        draw: returns numbers from 0 to below 1.
    """
    left = list(routes)
    names = []
    while len(left) > 1:
        by_name, at = shares(left, factors), draw()
        ends = zip(by_name, accumulate(by_name.values()), strict=True)
        drawn = next((name for name, end in ends if at < end), left[-1].name)
        left = [one for one in left if one.name != drawn]
        names.append(drawn)
    return [*names, *(one.name for one in left)]


def shares(routes: Sequence[WeightedRoute], factors: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the part of the traffic that each provider gets first, in the order given; together 1.

    With weights it is the weight times the factor. Without, the first gets as much as its factor says, and the next
    one as much of the rest.

    Args:
        routes: of `SMS_PROVIDER`.
        factors: of each provider's health, from above 0 to 1; 1 for one that is not named.
    """
    of = factors or {}
    if routes and routes[0].weight is not None:
        weights = {one.name: (one.weight or 0.0) * of.get(one.name, 1.0) for one in routes}
        return {name: weight / sum(weights.values()) for name, weight in weights.items()}
    found, rest = {}, 1.0
    for one in routes[:-1]:
        found[one.name] = rest * of.get(one.name, 1.0)
        rest -= found[one.name]
    return found | {one.name: rest for one in routes[-1:]}


def nominal_order(routes: Sequence[WeightedRoute]) -> list[str]:
    """Return the providers in their order without chance: as given, or the heaviest first."""
    return [one.name for one in sorted(routes, key=lambda one: -(one.weight or 0.0))]
