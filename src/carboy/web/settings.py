"""The settings of the assembly: modules, authentication, limits, observability."""

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from carboy.config import Derived, Profile, Rate, setting
from carboy.errors import Fault
from carboy.redact import Secret
from carboy.trace import DEFAULT_ADDRESS, parse_daemon_address


def _log_format(_get: Callable[[str], Any]) -> str:
    return "console" if sys.stdout is not None and sys.stdout.isatty() else "json"


@dataclass(frozen=True, slots=True)
class ModulesSettings:
    """What `create_app` registers; read first, as modules bring settings of their own."""

    modules: tuple[str, ...] = setting(
        ("carboy.services.archive", "carboy.services.sms"), "the modules that `create_app` registers, as dotted names"
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Settings of requests: authentication, limits, logs, metrics, traces."""

    secret_key: Secret | None = setting(
        Derived(lambda _get: None, "random on `local` and `test`; else required"), "Flask's key for signing sessions"
    )
    auth: bool = setting(True, "whether callers need a key; `off` only on `local` and `test`")
    debug: bool = setting(False, "Flask's debug mode; only on `local` and `test`")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = setting(
        "INFO", "the lowest level that is logged"
    )
    log_format: Literal["json", "console"] = setting(
        Derived(_log_format, "by terminal: `console` on one, else `json`"), "the format of log lines"
    )
    log_file: Path | None = setting(None, "a file to which log lines are written as well")
    log_file_max_bytes: int = setting(5_000_000, "when the log file is rotated", unit="bytes", least=1)
    log_file_max_count: int = setting(5, "how many rotated log files are kept", least=0)
    trace: Literal["off", "xray", "otlp"] = setting(
        "off", "where traces are sent: the X-Ray daemon, or the OpenTelemetry SDK"
    )
    trace_sample: float = setting(
        1.0, "the share of requests that is traced if the caller has not decided", least=0, most=1
    )
    aws_xray_daemon_address: str = setting(DEFAULT_ADDRESS, "where the X-Ray daemon listens")
    max_body_bytes: int = setting(1_048_576, "the largest request body", unit="bytes", least=1)
    trusted_proxies: int = setting(0, "the number of proxies in front that append to `X-Forwarded-For`", least=0)
    trust_forwarded_prefix: bool = setting(
        False,
        "whether a proxy removes `X-Forwarded-Prefix` from the path; clients must not get that header through",
    )
    rate_limit: Rate | None = setting(Rate(6000, 60.0), "requests per key and per client address; `off` for no limit")
    rate_limit_clients: int = setting(50_000, "how many keys and addresses are counted at the same time", least=1)
    keys_cache_s: float = setting(0.25, "how long a process caches a key", unit="s")
    ready_timeout_s: float = setting(2.0, "how long `/readyz` waits for each of its checks", unit="s", least=0.01)
    retry_after_s: int = setting(5, "the value of `Retry-After` if an upstream sent none", unit="s")
    metrics_bind: str | None = setting(None, "where `/metrics` is served without a key, such as `127.0.0.1:9090`")
    console: bool = setting(True, "whether the console is served, at `/` and below `/console`")
    console_bind: str | None = setting(None, "a separate address for the console, such as `127.0.0.1:8001`")
    console_oidc_issuer: str = setting("", "the OpenID Connect provider that people log in with, an https address")
    console_oidc_client_id: str = setting("", "the client's id at that provider")
    console_oidc_client_secret: Secret | None = setting(None, "the client's secret; None for a public client")
    console_oidc_claim: str = setting("groups", "the claim whose values are looked up in CONSOLE_ROLES")
    console_roles: dict[str, tuple[str, ...]] = setting(
        {}, "the scopes of each value of the claim; `*` as a value means every user, as a scope all scopes"
    )
    console_alb: bool = setting(False, "whether an AWS load balancer in front authenticates users with OIDC")
    console_alb_arn: str = setting("", "the ARN of that load balancer; others are refused")
    api_docs: bool = setting(True, "whether `/docs`, `/openapi.json` and `/openapi.yaml` are served")
    api_version: str = setting("1", "the version in the OpenAPI document")

    def faults(self, profile: Profile) -> Iterator[Fault]:
        """Yield what is careless on a guarded profile, and what cannot be."""
        if profile.is_guarded:
            if not self.secret_key:
                yield Fault("SECRET_KEY", f"profile `{profile}` needs one: give it a long random text")
            if not self.auth:
                yield Fault("AUTH", f"it cannot be off on profile `{profile}`: only on `local` and `test`")
            if self.debug:
                yield Fault("DEBUG", f"it cannot be on on profile `{profile}`: only on `local` and `test`")
        if self.trust_forwarded_prefix and not self.trusted_proxies:
            yield Fault("TRUST_FORWARDED_PREFIX", "it needs TRUSTED_PROXIES: the number of proxies in front")
        if parse_daemon_address(self.aws_xray_daemon_address) is None:
            yield Fault("AWS_XRAY_DAEMON_ADDRESS", "it is HOST:PORT, such as 127.0.0.1:2000")
        yield from self._console_faults()
        if self.metrics_bind is not None and parse_bind(self.metrics_bind) is None:
            yield Fault("METRICS_BIND", "it is HOST:PORT, such as 127.0.0.1:9090 or [::1]:9090")

    def _console_faults(self) -> Iterator[Fault]:
        if self.console_bind is not None and parse_bind(self.console_bind) is None:
            yield Fault("CONSOLE_BIND", "it is HOST:PORT, such as 127.0.0.1:8001 or [::1]:8001")
        if self.console_oidc_issuer:
            is_loopback = self.console_oidc_issuer.startswith(("http://127.0.0.1", "http://localhost"))
            if not self.console_oidc_issuer.startswith("https://") and not is_loopback:
                yield Fault("CONSOLE_OIDC_ISSUER", "it is an address that begins with https://")
            if not self.console_oidc_client_id:
                yield Fault("CONSOLE_OIDC_CLIENT_ID", "CONSOLE_OIDC_ISSUER needs it")
        if self.console_alb and not re.fullmatch(_ALB_ARN, self.console_alb_arn):
            yield Fault(
                "CONSOLE_ALB_ARN",
                "CONSOLE_ALB needs the load balancer's, such as "
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/front/50dc6c495c0c9188",
            )


_ALB_ARN = r"arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:loadbalancer/app/[^/]+/[0-9a-f]+"


def parse_bind(text: str) -> tuple[str, int] | None:
    """Return the host and port of `HOST:PORT` (`[::1]:9090`, `:9090` for every address); None where it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    return None if ":" in host else (host, int(port))


def make_secret_key() -> str:
    """Return a random key, good for the life of this process."""
    return secrets.token_urlsafe(32)
