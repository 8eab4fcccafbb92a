"""What the API, the commands and the console show of the providers, and taking one out of turn."""

from typing import Any, get_args

from carboy.errors import Missing
from carboy.http_values import render_time
from carboy.services.sms.gateway import Gateway
from carboy.services.sms.providers import Balance
from carboy.services.sms.providers.wire import Kind
from carboy.services.sms.routing import shares
from carboy.web import audit_row, write_audit


def describe_providers(gateway: Gateway) -> list[dict[str, Any]]:
    """Return each provider's circuit, share, health and balance, and its calls in this process; no secret."""
    dispatcher, traffic = gateway.dispatcher, gateway.dispatcher.traffic
    phases, states = gateway.circuits.shown(), traffic.states()
    in_turn = [one for one in dispatcher.places if states[one.name].out_at_ms is None]
    parts = shares(in_turn, traffic.factors())
    weights = {one.name: one.weight for one in dispatcher.places}
    return [
        {
            "name": name,
            "kind": route.kind,
            "circuit": phases[name][0],
            "reason": phases[name][1] or None,
            "weight": weights.get(name),
            "share": round(parts.get(name, 0.0), 4),
            "health": round(states[name].health.factor, 4),
            "health_reason": states[name].health.reason or None,
            "out_since": render_time(states[name].out_at_ms),
            "error_rate": _rounded(states[name].evidence.error_rate),
            "on_time_rate": _rounded(states[name].evidence.on_time_rate),
            "balance": _describe_balance(states[name].balance),
            "max_receivers": route.traits.max_receivers,
            "calls": {kind: int(dispatcher.outcomes.value((name, kind))) for kind in get_args(Kind)},
        }
        for name, route in dispatcher.routes.items()
    ]


def turn_provider(gateway: Gateway, name: str, who: str, *, is_out: bool) -> dict[str, Any]:
    """Take a provider out of turn or put it back, write that to the audit log, and return what it is now.

    Args:
        gateway: whose providers.
        name: of the provider.
        who: the API key, or the account that runs a command.
        is_out: whether it gets no messages from now on.

    Raises:
        Missing: there is no such provider.
        Unreachable: the database does not answer.
    """
    if name not in gateway.dispatcher.routes:
        known = ", ".join(gateway.dispatcher.routes)
        raise Missing(f"provider `{name}`", "there is no such provider", f"there are: {known}")
    row = audit_row(gateway.clock.now_ms(), who, f"provider.{'out' if is_out else 'back'}", name)
    gateway.writer.run(write_audit, (row,))
    set_turn(gateway, name, is_out=is_out)
    return next(one for one in describe_providers(gateway) if one["name"] == name)


def set_turn(gateway: Gateway, name: str, *, is_out: bool) -> None:
    """Take a provider out of turn, or put it back and let messages that wait for it be sent."""
    if is_out:
        gateway.dispatcher.traffic.take_out(name)
        return
    gateway.dispatcher.traffic.put_back(name)
    gateway.circuits.succeed(name)
    gateway.wake()


def _describe_balance(balance: Balance | None) -> dict[str, Any] | None:
    if balance is None:
        return None
    return {"amount": balance.amount, "unit": balance.unit, "at": render_time(balance.at_ms)}


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 4)
