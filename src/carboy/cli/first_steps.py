"""What `carboy serve` says when it is up: where, and how to try it."""

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from carboy.serve import Plan, Service

__all__ = ["local_key", "show_first_steps"]

_ALERT_PATH = "/api/v1/s3/alert"
_SAMPLE = Path("examples/threatstack-alert.json")
_INLINE = '{"alerts":[{"id":"587c0159a907346eccb84004","title":"A first alert","created_at":1700000000000}]}'
_KEY_NAME = "local"


def show_first_steps(service: "Service", url: str, plan: "Plan") -> None:
    """Say on stderr at which address it serves, and print a curl line that works when pasted."""
    profile = f", profile {service.runtime.settings.profile}" if service.runtime is not None else ""
    workers = f", {plan.workers} workers" if plan.workers > 1 else ""
    click.echo(f"serving on {url} ({plan.server}{workers}, {plan.threads} threads{profile})", err=True)
    if service.runtime is not None and service.runtime.settings.profile.name == "local" and _takes_alerts(service):
        key = local_key(service.runtime) if service.runtime.settings["AUTH"] else None
        click.echo(f"try it:\n  {_curl(url, key)}", err=True)
    click.echo("Ctrl-C stops", err=True)


def local_key(runtime: Any) -> str:
    """Return a key with every scope, for trying things out on the profile `local`.

    Keys are stored hashed, so this one is kept beside the database, in a file that only its owner can read.
    """
    from carboy.web.keys import SCOPES

    path = Path(runtime.settings["INSTANCE_PATH"]) / "local-key"
    kept = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    if kept and runtime.keys.find(kept) is not None:
        return kept
    _, text = runtime.keys.store.create(_KEY_NAME, SCOPES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"{text}\n")
    return str(text)


def _takes_alerts(service: "Service") -> bool:
    return service.flask is not None and any(rule.rule == _ALERT_PATH for rule in service.flask.url_map.iter_rules())


def _curl(url: str, key: str | None) -> str:
    parts = ["curl", "-X", "POST", f"{url}{_ALERT_PATH}"]
    if key is not None:
        parts += ["-H", quote(f"Authorization: Bearer {key}")]
    parts += ["-H", quote("Content-Type: application/json")]
    parts += ["-d", f"@{_SAMPLE}" if _SAMPLE.is_file() else quote(_INLINE)]
    return " ".join(parts)
