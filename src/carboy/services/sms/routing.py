"""Routing: the order in which providers are tried, by position or by weight. Nothing here does I/O."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["WeightedRoute", "draw_order", "nominal_order", "read_order"]


@dataclass(frozen=True, slots=True)
class WeightedRoute:
    """A provider in `SMS_PROVIDER`: `aliyun`, or `aliyun:3` with a weight."""

    name: str
    weight: float | None = None


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


def draw_order(routes: Sequence[WeightedRoute], draw: Callable[[], float] = random.random) -> list[str]:
    """Return the providers in the order in which one message tries them.

    Without weights it is the order given. With weights each route is drawn in turn, so that the first is a provider as
    often as its weight says.

    Args:
        routes: of `SMS_PROVIDER`.
        draw: returns numbers from 0 to below 1.
    """
    left = list(routes)
    if not left or left[0].weight is None:
        return [one.name for one in left]
    names = []
    while left:
        at = draw() * sum(one.weight or 0.0 for one in left)
        drawn = left[-1]
        for one in left:
            at -= one.weight or 0.0
            if at < 0:
                drawn = one
                break
        left.remove(drawn)
        names.append(drawn.name)
    return names


def nominal_order(routes: Sequence[WeightedRoute]) -> list[str]:
    """Return the providers in their order without chance: as given, or the heaviest first."""
    return [one.name for one in sorted(routes, key=lambda one: -(one.weight or 0.0))]
