"""Build the gateway from its settings and register it with an application."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Flask

from carboy.config import Rate, Settings, parse_rate
from carboy.db import Shared
from carboy.errors import CarboyError
from carboy.jobs import JobsSettings, Waiters
from carboy.logs import BoundLogger, get_logger
from carboy.net import Limits
from carboy.services.sms.accounts import Accounts, make_provider, read_traits
from carboy.services.sms.circuit_breaker import Circuits, SharedCircuits
from carboy.services.sms.dispatcher import Dispatcher, Route
from carboy.services.sms.fraud import Conversion, Guards
from carboy.services.sms.gateway import Gateway, read_pepper
from carboy.services.sms.message_store import Records
from carboy.services.sms.numbers import NumberRules
from carboy.services.sms.operations import SmsOperations
from carboy.services.sms.providers import AnswersQueries, Outbox, ReadsReceipts, ReportsThroughSns, SignsReceipts
from carboy.services.sms.receipt_webhooks import ReceiptGate
from carboy.services.sms.requests import Catalog
from carboy.services.sms.retention import Upkeep
from carboy.services.sms.routing import read_order
from carboy.services.sms.settings import ACCOUNTS, SmsSettings
from carboy.services.sms.status_polling import LookUp
from carboy.services.sms.templates import Template, read_template
from carboy.services.sms.transport import HttpTransport, OutboxTransport, Sessions, Transport
from carboy.web import Runtime, add_api, runtime

__all__ = ["EXTENSION", "register", "sms_of"]

EXTENSION = "carboy.sms"
DOCUMENT = Path(__file__).with_name("openapi.yaml")

log: BoundLogger = get_logger("carboy.sms")

_MAX_RESPONSE_BYTES = 1_048_576


def register(app: Flask) -> None:
    """Register the gateway: its routes, its jobs, its checks."""
    held = runtime(app)
    settings = held.settings.part(SmsSettings)
    kinds = {name: settings.kind_of(name) for name in _names(settings)}
    providers = {name: make_provider(name, kind) for name, kind in kinds.items()}
    accounts = Accounts(providers, lambda: _newest(held), lambda: _refresh(held), held.clock)
    gateway = _build(held, settings, _routes(held, settings, providers, kinds, accounts))
    app.extensions[EXTENSION] = gateway
    for job in (gateway.otp_job, gateway.bulk_job, gateway.upkeep_job, gateway.dispatcher.looks_up.job()):
        held.jobs.registry.add(job)
    held.dependencies["sms providers"] = lambda: _check(gateway)
    gate = ReceiptGate(
        providers,
        kinds,
        accounts,
        settings.sms_receipt_tokens,
        settings.sms_public_url,
        {*settings.aws_sms_topic_arns, *_archive_topics(held.settings)},
        held.clock,
    )
    add_api(app, DOCUMENT, SmsOperations(gateway, gate), name="sms")
    if "outbox" in kinds.values():
        log.info("sms_outbox", path=str(settings.sms_outbox))


def sms_of(app: Flask) -> Gateway:
    """Return the gateway of an application; `KeyError` where it has none."""
    found: Gateway = app.extensions[EXTENSION]
    return found


def _names(settings: SmsSettings) -> list[str]:
    """Return the providers in use: those of `SMS_PROVIDER`, and those with a table in `SMS_PROVIDERS`."""
    return list(dict.fromkeys([*(place.name for place in read_order(settings.sms_provider)), *settings.sms_providers]))


def _routes(
    held: Runtime, settings: SmsSettings, providers: Mapping[str, Any], kinds: Mapping[str, str], accounts: Accounts
) -> dict[str, Route]:
    pool_size = held.settings.part(JobsSettings).jobs_concurrency + 8
    limits = Limits(settings.sms_connect_timeout_s, settings.sms_timeout_s, settings.sms_timeout_s, _MAX_RESPONSE_BYTES)
    routes = {}
    for name, provider in providers.items():
        values, traits = settings.values_of(name), read_traits(provider)
        transport: Transport
        if isinstance(provider, Outbox):
            transport = OutboxTransport(name, provider, accounts)
        else:
            sessions = Sessions(pool_size, str(values.get("ca") or ""))
            ca_setting = ACCOUNTS.get(kinds[name], {}).get("ca", "").upper()
            transport = HttpTransport(name, provider, accounts, sessions, limits, ca_setting, held.clock)
        routes[name] = Route(
            name,
            kinds[name],
            transport,
            traits,
            callback=_callback(settings, name, provider),
            sign=str(values.get(traits.sign_field) or ""),
        )
    return routes


def _callback(settings: SmsSettings, name: str, provider: object) -> str:
    """Return the address for a provider's receipts, with a token unless the receipts are signed; empty for none."""
    if not settings.sms_public_url or not isinstance(provider, ReadsReceipts):
        return ""
    base = f"{settings.sms_public_url.rstrip('/')}/api/sms/receipts/{name}"
    if isinstance(provider, SignsReceipts | ReportsThroughSns):
        return base
    return f"{base}/{settings.sms_receipt_tokens[0].reveal()}" if settings.sms_receipt_tokens else ""


def _build(held: Runtime, settings: SmsSettings, routes: dict[str, Route]) -> Gateway:
    templates = {name: read_template(name, table) for name, table in settings.sms_templates.items()}
    dispatcher = _dispatcher(held, settings, routes, templates)
    otp_job, bulk_job = dispatcher.jobs()
    upkeep = Upkeep(held.writer, held.clock, round(float(settings.sms_retention) * 1000))
    key = held.web.secret_key
    return Gateway(
        settings=settings,
        rules=_rules(settings, routes, templates),
        limits=_rates(settings.sms_receiver_limits),
        guards=_guards(held, settings),
        pepper=read_pepper(key.reveal() if key else None, held.settings["INSTANCE_PATH"]),
        dispatcher=dispatcher,
        circuits=dispatcher.circuits,
        records=dispatcher.records,
        writer=held.writer,
        upkeep=upkeep,
        clock=held.clock,
        otp_job=otp_job,
        bulk_job=bulk_job,
        upkeep_job=upkeep.job(),
        wake=held.jobs.wake,
        unknown_receipts=held.metrics.counter(
            "carboy_sms_unknown_receipts_total", "Receipts of unknown messages.", ("provider",)
        ),
    )


def _dispatcher(
    held: Runtime, settings: SmsSettings, routes: dict[str, Route], templates: Mapping[str, Template]
) -> Dispatcher:
    records = Records(held.engine)
    asked = {
        name: route.transport
        for name, route in routes.items()
        if isinstance(route.transport, HttpTransport) and isinstance(route.transport.provider, AnswersQueries)
    }
    return Dispatcher(
        routes=routes,
        places=read_order(settings.sms_provider),
        templates=templates,
        circuits=_circuits(held, settings, list(routes)),
        records=records,
        writer=held.writer,
        clock=held.clock,
        outcomes=held.metrics.counter(
            "carboy_sms_calls_total", "Messages handed to providers, by outcome.", ("provider", "kind")
        ),
        looks_up=LookUp(asked, records, held.writer, held.clock),
        waiters=Waiters(settings.sms_waiters),
        resends_unknown=settings.sms_resend_unknown,
    )


def _rules(settings: SmsSettings, routes: Mapping[str, Route], templates: Mapping[str, Template]) -> Catalog:
    carriers = {
        name: [route.name for route in routes.values() if route.carries(template)]
        for name, template in templates.items()
    }
    ordered = {place.name for place in read_order(settings.sms_provider)}
    for name in templates:
        if ordered.isdisjoint(carriers[name]):
            log.warning("sms_template_unusable", template=name, hint="no provider of SMS_PROVIDER can carry it")
    countries = frozenset(one.upper() for one in settings.sms_countries)
    numbers = NumberRules(settings.sms_default_region.upper(), countries, settings.sms_number_types)
    signs = {
        name: max((routes[one].sign_of(template) for one in carriers[name]), key=len, default="")
        for name, template in templates.items()
    }
    return Catalog(templates, carriers, list(routes), ordered, numbers, signs)


def _circuits(held: Runtime, settings: SmsSettings, names: Sequence[str]) -> Circuits:
    threshold, open_s = settings.sms_circuit_failures, settings.sms_circuit_s
    if held.shared is None:
        return Circuits(names, threshold=threshold, open_s=open_s, clock=held.clock)
    return SharedCircuits(held.shared, names, threshold=threshold, open_s=open_s, clock=held.clock)


def _guards(held: Runtime, settings: SmsSettings) -> Guards:
    return Guards(
        held.shared or Shared(lambda: held.engine, held.clock),
        _rates(settings.sms_prefix_limits),
        _rates(settings.sms_client_limits),
        Conversion(settings.sms_conversion_min, settings.sms_conversion_after),
        held.metrics.counter("carboy_sms_guarded_total", "Requests refused as SMS pumping, by guard.", ("guard",)),
        held.metrics.counter("carboy_sms_codes_total", "One-time passwords sent and entered.", ("country", "what")),
    )


def _rates(texts: Sequence[str]) -> list[Rate]:
    return [rate for text in texts if (rate := parse_rate(text)) is not None]


def _check(gateway: Gateway) -> None:
    """Raise an error if the circuit of a provider of `SMS_PROVIDER` is open."""
    ordered = {place.name for place in gateway.dispatcher.places}
    phases = gateway.circuits.shown()
    if failed := {name: reason for name, (phase, reason) in phases.items() if phase == "open" and name in ordered}:
        why = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise CarboyError("the SMS providers", f"skipped after errors: {why}", "see `carboy sms providers`")


def _archive_topics(settings: Settings) -> tuple[str, ...]:
    return tuple(settings["SNS_TOPIC_ARNS"]) if "SNS_TOPIC_ARNS" in settings else ()


def _newest(held: Runtime) -> SmsSettings:
    """Return the gateway's current settings; stale ones are read again in the background."""
    live = held.centre.live
    if live is None:
        return held.settings.part(SmsSettings)
    live.get("SMS_PROVIDER")
    return live.newest.part(SmsSettings)


def _refresh(held: Runtime) -> None:
    """Read the settings again, with their references."""
    if held.centre.live is not None:
        held.centre.live.refresh()
