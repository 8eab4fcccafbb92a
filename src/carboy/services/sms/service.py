"""Build the gateway from its settings and register it with an application."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask

from carboy.config import Rate, parse_rate
from carboy.db import Shared
from carboy.errors import CarboyError
from carboy.jobs import Job, JobsSettings, PeriodicJob, Waiters
from carboy.logs import BoundLogger, get_logger
from carboy.net import Limits
from carboy.services.sms.accounts import Accounts, make_provider, read_traits
from carboy.services.sms.callbacks import Callbacks
from carboy.services.sms.circuit_breaker import Circuits, SharedCircuits
from carboy.services.sms.dispatcher import Dispatcher
from carboy.services.sms.fraud import Conversion, Guards
from carboy.services.sms.gateway import Gateway, read_pepper
from carboy.services.sms.inbound import INBOUND_JOB
from carboy.services.sms.message_queries import Records
from carboy.services.sms.numbers import NumberRules
from carboy.services.sms.operations import SmsOperations
from carboy.services.sms.provider_routes import ANY_COUNTRY, Route
from carboy.services.sms.provider_traffic import ProviderTraffic
from carboy.services.sms.provider_webhooks import INBOUND, RECEIPTS, ProviderWebhooks
from carboy.services.sms.providers import (
    AnswersQueries,
    Outbox,
    ReadsReceipts,
    ReportsThroughSns,
    SignsReceipts,
    TellsBalance,
)
from carboy.services.sms.quiet_hours import read_quiet_hours
from carboy.services.sms.requests import Catalog, read_send
from carboy.services.sms.retention import UPKEEP_EVERY_MS, Upkeep
from carboy.services.sms.routing import read_order, read_routes
from carboy.services.sms.send_jobs import plan_resends
from carboy.services.sms.settings import ACCOUNTS, SmsSettings
from carboy.services.sms.statistics import Statistics
from carboy.services.sms.status_polling import BALANCES_EVERY_MS, BalancePolling, LookUp
from carboy.services.sms.templates import Template, read_template
from carboy.services.sms.transport import HttpTransport, OutboxTransport, Sessions, Transport
from carboy.web import Runtime, add_api
from carboy.web import runtime as runtime_of
from carboy.webhooks import SnsEndpoint

DOCUMENT = Path(__file__).with_name("openapi.yaml")

log: BoundLogger = get_logger("carboy.sms")

_MAX_RESPONSE_BYTES = 1_048_576


def register(app: Flask) -> None:
    """Register the gateway: its routes, its jobs, its checks."""
    runtime = runtime_of(app)
    runtime.use_tables("sms")
    settings = runtime.settings.part(SmsSettings)
    kinds = {
        name: settings.kind_of(name) for name in dict.fromkeys([*settings.ordered_providers(), *settings.sms_providers])
    }
    providers = {name: make_provider(name, kind) for name, kind in kinds.items()}
    newest = partial(runtime.newest, SmsSettings)
    accounts = Accounts(providers, newest, lambda: _refresh(runtime), runtime.clock)
    gateway = _build(runtime, settings, _routes(runtime, settings, providers, kinds, accounts))
    runtime.keep(gateway)
    callbacks = Callbacks(newest, runtime.clock, gateway.records.callback_url)
    runtime.at_start += [one.ask for one in gateway.periodic]
    sending: list[Job[...]] = [*gateway.dispatcher.jobs(), gateway.dispatcher.looks_up.job(), callbacks.job()]
    for job in (*sending, *(one.job for one in gateway.periodic), INBOUND_JOB):
        runtime.jobs.registry.add(job)
    _add_gauges(runtime, gateway.dispatcher.traffic)
    runtime.dependencies["sms providers"] = lambda: _check(gateway)
    runtime.doctor_checks["sms providers"] = lambda: _ask_providers(gateway)
    app.extensions["carboy.send_sms"] = lambda body, key: gateway.submit(read_send(body, gateway.rules), "", key)
    posting = (providers, accounts, _sns(settings, runtime), newest, runtime.clock)
    receipts, inbound = ProviderWebhooks(RECEIPTS, *posting), ProviderWebhooks(INBOUND, *posting)
    security = {
        "receipt": receipts.verify,
        "token": receipts.verify_token,
        "inbound": inbound.verify,
        "inbound_token": inbound.verify_token,
    }
    add_api(app, DOCUMENT, SmsOperations(gateway, receipts, inbound), name="sms", security=security)
    if "outbox" in kinds.values():
        log.info("sms_outbox", path=str(settings.sms_outbox))


def sms_of(app: Flask) -> Gateway:
    """Return the gateway of an application; `KeyError` where it has none."""
    found = runtime_of(app).find(Gateway)
    if found is None:
        raise KeyError("sms")
    return found


def _routes(
    runtime: Runtime, settings: SmsSettings, providers: Mapping[str, Any], kinds: Mapping[str, str], accounts: Accounts
) -> dict[str, Route]:
    pool_size = runtime.settings.part(JobsSettings).jobs_concurrency + 8
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
            transport = HttpTransport(name, provider, accounts, sessions, limits, ca_setting, runtime.clock)
        sign = str(values.get(traits.sign_field) or "")
        routes[name] = Route(name, kinds[name], transport, traits, _callback(settings, name, provider), sign)
    return routes


def _callback(settings: SmsSettings, name: str, provider: object) -> str:
    """Return the address for a provider's receipts, with a token unless the receipts are signed; empty for none."""
    if not settings.sms_public_url or not isinstance(provider, ReadsReceipts):
        return ""
    base = f"{settings.sms_public_url.rstrip('/')}/api/sms/receipts/{name}"
    if isinstance(provider, SignsReceipts | ReportsThroughSns):
        return base
    return f"{base}/{settings.sms_receipt_tokens[0].reveal()}" if settings.sms_receipt_tokens else ""


def _build(runtime: Runtime, settings: SmsSettings, routes: dict[str, Route]) -> Gateway:
    templates = {name: read_template(name, table) for name, table in settings.templates.items()}
    dispatcher = _dispatcher(runtime, settings, routes, templates)
    upkeep = Upkeep(runtime.writer, runtime.clock, round(float(settings.sms_retention) * 1000))
    key = runtime.web.secret_key
    return Gateway(
        settings=settings,
        rules=_rules(runtime, settings, routes, templates, dispatcher),
        limits=_rates(settings.sms_receiver_limits),
        guards=_guards(runtime, settings),
        pepper=read_pepper(key.reveal() if key else None, runtime.settings["INSTANCE_PATH"]),
        dispatcher=dispatcher,
        circuits=dispatcher.circuits,
        records=dispatcher.records,
        writer=runtime.writer,
        upkeep=upkeep,
        clock=runtime.clock,
        periodic=_periodic(runtime, upkeep, routes, dispatcher.traffic),
        wake=runtime.jobs.notify,
        statistics=Statistics(
            runtime.engine, settings.sms_prices, frozenset(name for name, one in templates.items() if one.otp)
        ),
        unknown_receipts=runtime.metrics.counter(
            "carboy_sms_unknown_receipts_total", "Receipts of unknown messages.", ("provider",)
        ),
    )


def _periodic(
    runtime: Runtime, upkeep: Upkeep, routes: Mapping[str, Route], traffic: ProviderTraffic
) -> list[PeriodicJob]:
    asked = _http(routes, TellsBalance)
    jobs = [(upkeep.job(), UPKEEP_EVERY_MS)]
    if asked:
        jobs.append((BalancePolling(asked, traffic).job(), BALANCES_EVERY_MS))
    return [PeriodicJob(job, every_ms, runtime.writer, runtime.clock) for job, every_ms in jobs]


def _http(routes: Mapping[str, Route], protocol: type) -> dict[str, HttpTransport]:
    """Return the transports of the providers that have these functions, by name."""
    return {
        name: one.transport
        for name, one in routes.items()
        if isinstance(one.transport, HttpTransport) and isinstance(one.transport.provider, protocol)
    }


def _dispatcher(
    runtime: Runtime, settings: SmsSettings, routes: dict[str, Route], templates: Mapping[str, Template]
) -> Dispatcher:
    records = Records(runtime.engine)
    resends = plan_resends(templates)
    return Dispatcher(
        routes=routes,
        places=read_order(settings.sms_provider),
        templates=templates,
        circuits=_circuits(runtime, settings, list(routes)),
        traffic=ProviderTraffic(list(routes), _shared(runtime), records.count_on_time, runtime.clock),
        records=records,
        writer=runtime.writer,
        clock=runtime.clock,
        outcomes=runtime.metrics.counter(
            "carboy_sms_calls_total", "Messages handed to providers, by outcome.", ("provider", "kind")
        ),
        resends=resends,
        looks_up=LookUp(_http(routes, AnswersQueries), records, runtime.writer, runtime.clock, resends),
        waiters=Waiters(settings.sms_waiters),
        resends_unknown=settings.sms_resend_unknown,
        country_routes=read_routes(settings.sms_routes),
        quiet_hours=read_quiet_hours(settings.sms_quiet_hours),
        test_numbers=frozenset(settings.sms_test_numbers),
    )


def _rules(
    runtime: Runtime,
    settings: SmsSettings,
    routes: Mapping[str, Route],
    templates: Mapping[str, Template],
    dispatcher: Dispatcher,
) -> Catalog:
    carriers = {
        name: [route.name for route in routes.values() if route.carries(template)]
        for name, template in templates.items()
    }
    ordered = set(settings.ordered_providers())
    for name in templates:
        if ordered.isdisjoint(carriers[name]):
            log.warning(
                "sms_template_unusable", template=name, hint="no provider of SMS_PROVIDER or SMS_ROUTES can carry it"
            )
    countries = frozenset(one.upper() for one in settings.sms_countries)
    tests = frozenset(settings.sms_test_numbers)
    numbers = NumberRules(settings.sms_default_region.upper(), countries, settings.sms_number_types, tests)
    mainland = dispatcher.country_routes.get("CN", ANY_COUNTRY)
    signs = {
        name: max((routes[one].sign_of(template, mainland) for one in carriers[name]), key=len, default="")
        for name, template in templates.items()
    }
    return Catalog(
        templates,
        carriers,
        list(routes),
        ordered,
        numbers,
        signs,
        dispatcher.can_carry,
        settings.sms_callback_hosts,
        not runtime.settings.profile.is_guarded,
        runtime.clock,
    )


def _circuits(runtime: Runtime, settings: SmsSettings, names: Sequence[str]) -> Circuits:
    make = Circuits if runtime.shared is None else partial(SharedCircuits, runtime.shared)
    return make(names, threshold=settings.sms_circuit_failures, open_s=settings.sms_circuit_s, clock=runtime.clock)


def _add_gauges(runtime: Runtime, traffic: ProviderTraffic) -> None:
    runtime.metrics.collect(
        "carboy_sms_provider_health",
        "By how much a provider's share of the messages is multiplied; 0 while it is out of turn.",
        lambda: [
            ((name,), 0.0 if one.out_at_ms is not None else one.health.factor) for name, one in traffic.states().items()
        ],
        ("provider",),
    )
    runtime.metrics.collect(
        "carboy_sms_provider_balance",
        "The balance of the account, if the provider reports it: money, or messages.",
        lambda: [
            ((name, one.balance.unit), one.balance.amount) for name, one in traffic.states().items() if one.balance
        ],
        ("provider", "unit"),
    )


def _shared(runtime: Runtime) -> Shared:
    return runtime.shared or Shared(lambda: runtime.engine, runtime.clock)


def _guards(runtime: Runtime, settings: SmsSettings) -> Guards:
    return Guards(
        _shared(runtime),
        _rates(settings.sms_prefix_limits),
        _rates(settings.sms_client_limits),
        Conversion(settings.sms_conversion_min, settings.sms_conversion_after),
        runtime.metrics.counter("carboy_sms_guarded_total", "Requests refused as SMS pumping, by guard.", ("guard",)),
        runtime.metrics.counter("carboy_sms_codes_total", "One-time passwords sent and entered.", ("country", "what")),
    )


def _rates(texts: Sequence[str]) -> list[Rate]:
    return [rate for text in texts if (rate := parse_rate(text)) is not None]


def _check(gateway: Gateway) -> None:
    """Raise an error if the circuit of a provider of `SMS_PROVIDER` is open, or if all of them are out of turn."""
    ordered = {place.name for place in gateway.dispatcher.places}
    if all(map(gateway.dispatcher.traffic.is_out, ordered)):
        raise CarboyError("the SMS providers", "all were taken out by hand", "`carboy sms providers back NAME`")
    phases = gateway.circuits.shown()
    if failed := {name: reason for name, (phase, reason) in phases.items() if phase == "open" and name in ordered}:
        why = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise CarboyError("the SMS providers", f"skipped after errors: {why}", "see `carboy sms providers`")


def _ask_providers(gateway: Gateway) -> str:
    """Ask the providers that report a balance whether they accept the account, and return which were asked."""
    _check(gateway)
    routes = {name: gateway.dispatcher.routes[name] for name in {place.name for place in gateway.dispatcher.places}}
    asked = _http(routes, TellsBalance)
    faults = {name: fault for name, one in asked.items() if (fault := one.account_fault())}
    if faults:
        why = "; ".join(f"{name}: {fault}" for name, fault in sorted(faults.items()))
        raise CarboyError("the SMS providers", why, "see the provider's settings, and the network from here")
    silent = sorted(routes.keys() - asked.keys())
    found = [f"{', '.join(sorted(asked))}: the account was accepted"] if asked else []
    return "; ".join([*found, *([f"{', '.join(silent)}: not asked, no error so far"] if silent else [])])


def _sns(settings: SmsSettings, runtime: Runtime) -> SnsEndpoint:
    """Return the endpoint of AWS's receipts; topics and limits that the archive was given hold here too."""
    known = {name: runtime.settings[name] for name in ("SNS_TOPIC_ARNS", "SNS_MAX_AGE") if name in runtime.settings}
    return SnsEndpoint(
        {*settings.aws_sms_topic_arns, *known.get("SNS_TOPIC_ARNS", ())},
        clock=runtime.clock,
        max_age_s=float(known.get("SNS_MAX_AGE", 3600)),
    )


def _refresh(runtime: Runtime) -> None:
    """Read the settings again, with their references."""
    if runtime.centre.live is not None:
        runtime.centre.live.refresh()
