"""`carboy doctor --security`: audit the configuration for weaknesses, each finding with its cure."""

import ipaddress
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.cli.project import runtime_of
from carboy.clock import Clock
from carboy.config.environ import read_environ
from carboy.errors import CarboyError
from carboy.web.diagnosis import Finding

if TYPE_CHECKING:
    from flask import Flask

    from carboy.config import Settings
    from carboy.serve import Service
    from carboy.web import Runtime
    from carboy.web.auth.api_keys import Key

_LEAST_SECRET_CHARS = 32
_LEAST_DISTINCT_CHARS = 8
_LEAST_TOKEN_CHARS = 22  # 128 random bits in base64
_LEAST_SIGNING_CHARS = 16
_DAY_MS = 86_400_000
_MAX_UNUSED_DAYS = 90
_MAX_NEVER_USED_DAYS = 30
_MAX_AGE_DAYS = 365
_RANDOM_TEXT = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
_OPEN_MODE = stat.S_IWGRP | stat.S_IRWXO
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def audit(service: "Service") -> Iterator[Finding]:
    """Yield the finding of each security check of a service."""
    runtime = runtime_of(service)
    settings = runtime.settings
    yield from _audit_settings(settings)
    yield _audit_secret_key(settings)
    if service.flask is not None:
        yield _audit_cookie(service.flask, settings)
        yield _audit_headers(service.flask)
    yield audit_metrics_address(settings["METRICS_BIND"], "KUBERNETES_SERVICE_HOST" in read_environ())
    yield audit_console(settings)
    yield audit_modes(_private_paths(settings, Path(runtime.app.root_path)))
    if "ARCHIVE_SOURCES" in settings:
        yield from _audit_sources(settings["ARCHIVE_SOURCES"])
    yield from _audit_database(runtime)


def _audit_settings(settings: "Settings") -> Iterator[Finding]:
    is_guarded = settings.profile.is_guarded
    hint = "" if is_guarded else "set FLASK_PROFILE to another name in production: it refuses careless settings"
    detail = f"`{settings.profile}` {'refuses' if is_guarded else 'allows'} careless settings"
    yield Finding("guarded profile", True, detail, hint)
    yield _verdict("debug", not settings["DEBUG"], "off", "on: errors show source and values", "set DEBUG=off")
    detail = "off: every caller may do everything"
    yield _verdict("authentication", settings["AUTH"], "on", detail, "set AUTH=on and give each caller a key")
    limit = settings["RATE_LIMIT"]
    detail, hint = "off: one client can use every thread", "set RATE_LIMIT, such as 6000/min"
    yield _verdict("rate limit", limit is not None, f"{limit} per key and client address", detail, hint)


def _audit_secret_key(settings: "Settings") -> Finding:
    given = settings["SECRET_KEY"]
    if given is None:
        return Finding("secret key", True, "random for each process", "set SECRET_KEY where sessions must outlive it")
    hint = f"set SECRET_KEY to the output of: {_RANDOM_TEXT}"
    if len(given) < _LEAST_SECRET_CHARS:
        return Finding("secret key", False, f"{len(given)} characters, fewer than {_LEAST_SECRET_CHARS}", hint)
    if len(set(given)) < _LEAST_DISTINCT_CHARS:
        return Finding("secret key", ok=False, detail="a few characters repeated, not random", hint=hint)
    return Finding("secret key", ok=True, detail=f"{len(given)} characters")


def _audit_cookie(app: "Flask", settings: "Settings") -> Finding:
    needed = ["SESSION_COOKIE_HTTPONLY", *(["SESSION_COOKIE_SECURE"] if settings.profile.is_guarded else [])]
    wrong = [name for name in needed if not app.config[name]]
    if not wrong:
        return Finding("session cookie", ok=True, detail="not readable by scripts, and sent by HTTPS in production")
    return Finding("session cookie", False, f"{wrong[0]} is off", f"set {', '.join(wrong)} to true")


def _audit_headers(app: "Flask") -> Finding:
    response = app.test_client().get("/livez")
    wrong = [name for name, wanted in _HEADERS.items() if wanted not in response.headers.get(name, "")]
    hint = 'give `init_app` the part "http", or send these headers yourself'
    detail = "X-Content-Type-Options and Cache-Control are sent"
    return _verdict("headers", not wrong, detail, f"{', '.join(wrong)} missing in responses", hint)


def audit_metrics_address(bind: str | None, is_pod: bool) -> Finding:
    """Return whether the address that serves `/metrics` without a key is private.

    Args:
        bind: `METRICS_BIND`.
        is_pod: whether this is a pod of Kubernetes, whose own address is the only one it has.
    """
    from carboy.web.settings import parse_bind

    parsed = None if bind is None else parse_bind(bind)
    if parsed is None:
        return Finding("metrics", ok=True, detail="served to keys of scope metrics:read only")
    host = parsed[0]
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104 (named to be found, not to be bound)
    except ValueError:
        is_private = host == "localhost"
        return Finding("metrics", True, f"without a key on {bind}", "" if is_private else "check that it is private")
    if address.is_unspecified and is_pod:
        hint = "let a NetworkPolicy admit only the monitor"
        return Finding("metrics", ok=True, detail=f"without a key on {bind}, in a pod", hint=hint)
    is_private = address.is_private and not address.is_unspecified
    detail = f"every client that reaches {bind} reads them without a key"
    hint = "set METRICS_BIND to a private address, such as 127.0.0.1:9090"
    return _verdict("metrics", is_private, f"without a key on {bind}, a private address", detail, hint)


def audit_console(settings: "Mapping[str, Any] | Settings") -> Finding:
    """Return where the console is served, who may enter, and whether a role gives everything to everybody."""
    if not settings["CONSOLE"]:
        return Finding("console", ok=True, detail="off")
    issuer, roles = settings["CONSOLE_OIDC_ISSUER"], settings["CONSOLE_ROLES"]
    by_role = bool(issuer or settings["CONSOLE_ALB"])
    if by_role and "*" in roles.get("*", ()):
        hint = 'name a group in [console.roles] instead of "*"'
        return Finding("console", False, "everybody who can log in there may do everything", hint)
    if by_role and not roles:
        hint = "map a claim to scopes in [console.roles]"
        return Finding("console", ok=False, detail="no role is given, so only API keys log in", hint=hint)
    ways = ["API keys", *([issuer] if issuer else []), *(["the load balancer"] if settings["CONSOLE_ALB"] else [])]
    bind = settings["CONSOLE_BIND"]
    where = f"on {bind}, apart from the service" if bind else "at the service's own address"
    hint = "" if bind else "set CONSOLE_BIND, such as 127.0.0.1:8001, to keep it off the public address"
    return Finding("console", ok=True, detail=f"{where}, by {', '.join(ways)}", hint=hint)


def audit_modes(paths: Iterable[Path]) -> Finding:
    """Return whether files and folders with secrets are closed to other users, and to changes by the group."""
    opened, checked = [], 0
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        checked += 1
        if mode & _OPEN_MODE:
            opened.append(f"{path} ({mode & 0o777:04o})")
    hint = f"chmod go-rwx {' '.join(one.rpartition(' ')[0] for one in opened)}"
    detail = f"other users may use {', '.join(opened)}"
    return _verdict("file modes", not opened, f"{checked} files and folders are private", detail, hint)


def _private_paths(settings: "Settings", folder: Path) -> Iterator[Path]:
    """Yield what may hold secrets: `.env`, the instance folder with its database and key, referenced files."""
    instance = Path(settings["INSTANCE_PATH"])
    yield folder / (read_environ().get("CARBOY_ENV_FILE") or ".env")
    yield from (instance, instance / "local-key", *sorted(instance.glob("*.db")))
    yield from (folder / one.name for one in sorted(settings.references) if one.scheme == "file")


def _audit_sources(sources: dict[str, Any]) -> Iterator[Finding]:
    for name, source in sorted(sources.items()):
        tokens = [one.reveal() for one in source.tokens]
        secrets = [one.reveal() for one in source.secrets]
        table = f"[archive.sources.{name}]"
        if source.verify == "none":
            hint = f"set `verify` in {table} to the scheme of the sender, or to `key`"
            yield Finding(f"source {name}", ok=False, detail="`verify` is none: every client may post to it", hint=hint)
        elif any(len(token) < _LEAST_TOKEN_CHARS for token in tokens):
            detail = f"a path token has fewer than {_LEAST_TOKEN_CHARS} characters: it can be guessed"
            hint = f"set `tokens` in {table} to the output of: {_RANDOM_TEXT}"
            yield Finding(f"source {name}", ok=False, detail=detail, hint=hint)
        elif any(len(secret) < _LEAST_SIGNING_CHARS for secret in secrets):
            detail = f"a secret has fewer than {_LEAST_SIGNING_CHARS} characters: it can be guessed"
            yield Finding(f"source {name}", ok=False, detail=detail, hint=f"give `secrets` in {table} a longer value")
        else:
            hint = "prefer a signature: the logs of proxies show addresses with their tokens" if tokens else ""
            yield Finding(f"source {name}", ok=True, detail=f"verified by `{source.verify}`", hint=hint)


def _audit_database(runtime: "Runtime") -> Iterator[Finding]:
    if not runtime.has_database:
        return
    connector = vars(runtime.engine).get("carboy_connector")
    try:
        if connector is not None:
            yield _audit_tls(connector.describe_tls(runtime.engine), runtime.engine.url.host or "")
        yield from audit_keys(runtime.keys.store.list(), runtime.clock)
    except Exception as error:  # noqa: BLE001 (a database that cannot be read is a finding)
        hint = error.hint if isinstance(error, CarboyError) else "see `carboy doctor`, and run `carboy db upgrade`"
        what = str(getattr(error, "orig", None) or error) or type(error).__name__
        yield Finding("keys", ok=False, detail=f"they cannot be read: {what}", hint=hint)


def _audit_tls(detail: str, host: str) -> Finding:
    is_local = host in {"", "localhost", "127.0.0.1", "::1"}
    hint = "set DB_TLS_CA to the PEM of the server's authority, and have the server require TLS"
    return _verdict("database TLS", is_local or ", verified" in detail, f"{detail}{', local' * is_local}", detail, hint)


def audit_keys(keys: "Iterable[Key]", clock: Clock) -> Iterator[Finding]:
    """Yield the findings of API keys that are not revoked: too many rights, unused, or old."""
    from carboy.web.auth.api_keys import SCOPES

    good = [key for key in keys if key.revoked_at is None]
    weak = 0
    for key in good:
        age_days = (clock.now_ms() - key.created_at) // _DAY_MS
        idle_days = None if key.last_used_at is None else (clock.now_ms() - key.last_used_at) // _DAY_MS
        revoke = f"carboy keys revoke {key.id}"
        faults = []
        if set(SCOPES) <= set(key.scopes) and key.name != "local":
            faults.append(("it has every scope", f"make one key per caller with the scopes it needs, then {revoke}"))
        if idle_days is None and age_days > _MAX_NEVER_USED_DAYS:
            faults.append((f"it was never used in {age_days} days", revoke))
        elif idle_days is not None and idle_days > _MAX_UNUSED_DAYS:
            faults.append((f"it was not used for {idle_days} days", revoke))
        if age_days > _MAX_AGE_DAYS:
            faults.append((f"it is {age_days} days old", f"make a new key for its caller, then {revoke}"))
        weak += bool(faults)
        yield from (Finding(f"key {key.id} ({key.name})", ok=False, detail=what, hint=cure) for what, cure in faults)
    if not weak:
        yield Finding("keys", ok=True, detail=f"{len(good)} keys: none is unused, old, or has every scope")


def _verdict(name: str, ok: bool, good: str, bad: str, hint: str) -> Finding:
    return Finding(name, ok=True, detail=good) if ok else Finding(name, ok=False, detail=bad, hint=hint)
