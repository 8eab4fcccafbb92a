"""Start-up notes of `carboy serve`: its address, and requests to try."""

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from carboy.serve import Plan, Service

_ALERT_PATH = "/api/v1/s3/alert"
_SAMPLE = Path("examples/threatstack-alert.json")
_ALERT_ID = "587c0159a907346eccb84004"
_ALERT = f'{{"alerts":[{{"id":"{_ALERT_ID}","title":"A first alert","created_at":1700000000000}}]}}'
_SMS_PATH = "/api/sms"
_TEXT = '{"receivers":"+8613800000000","template":"captcha","params":{"code":"1234"}}'
_KEY_NAME = "local"


def show_first_steps(service: "Service", url: str, plan: "Plan") -> None:
    """Say on stderr at which address it serves, and print a curl line that works when pasted."""
    profile = f", profile {service.runtime.settings.profile}" if service.runtime is not None else ""
    workers = f", {plan.workers} workers" if plan.workers > 1 else ""
    threads = f", {plan.threads} threads" if plan.server != "dev" else ""  # werkzeug starts one for each connection
    click.echo(f"serving on {url} ({plan.server}{workers}{threads}{profile})", err=True)
    if service.runtime is not None and service.runtime.settings.profile.name == "local":
        _show_tries(service, url)
    click.echo("Ctrl-C stops", err=True)


def _show_tries(service: "Service", url: str) -> None:
    settings = service.runtime.settings
    _show_console(service, url)
    if service.flask is not None and "carboy_docs" in service.flask.view_functions:
        click.echo(f"API documentation: {url}/docs", err=True)
    tries = _tries(service)
    if not tries:
        return
    key = local_key(service.runtime) if settings["AUTH"] else None
    click.echo("\n".join(["try it:", *(f"  {_curl(url + path, key, body)}" for path, body in tries.items())]), err=True)
    read = {_ALERT_PATH: f"{_ALERT_PATH}/{_ALERT_ID}"}
    backs = [_curl(url + read.get(path, path), key) for path in tries]
    click.echo("\n".join(["read it back:", *(f"  {back}" for back in backs)]), err=True)
    if _SMS_PATH in tries:
        click.echo(f"messages are written to {settings['SMS_OUTBOX']}, one JSON line each", err=True)


def _show_console(service: "Service", url: str) -> None:
    """Print an address that logs in to the console once."""
    runtime = service.runtime
    if service.flask is None or not runtime.settings["CONSOLE"] or not runtime.has_database:
        return
    from sqlalchemy.exc import DBAPIError

    from carboy.web.console.sessions import make_login

    base = f"http://{runtime.settings['CONSOLE_BIND']}" if runtime.settings["CONSOLE_BIND"] else url
    try:
        path = make_login(runtime, local_key(runtime)) if runtime.settings["AUTH"] else "/"
    except DBAPIError:  # its tables do not exist before `carboy db upgrade`
        return
    click.echo(f"console: {base}{path}", err=True)


def local_key(runtime: Any) -> str:
    """Return a key with every scope, for trying things out on the profile `local`.

    Keys are stored hashed, so this one is kept beside the database, in a file that only its owner can read.
    """
    from carboy.web.console.roles import all_scopes

    scopes = all_scopes(runtime)
    path = Path(runtime.settings["INSTANCE_PATH"]) / "local-key"
    kept = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    known = runtime.keys.find(kept) if kept else None
    if known is not None and set(known.scopes) >= set(scopes):
        return kept
    _, text = runtime.keys.store.create(_KEY_NAME, scopes)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"{text}\n")
    return str(text)


def _tries(service: "Service") -> dict[str, str]:
    """Return example requests by path; an SMS only where it goes to a file."""
    if service.flask is None:
        return {}
    served = {rule.rule for rule in service.flask.url_map.iter_rules()}
    settings = service.runtime.settings
    tries = {_ALERT_PATH: _ALERT} if _ALERT_PATH in served else {}
    if _SMS_PATH in served and "SMS_PROVIDER" in settings and settings["SMS_PROVIDER"] == ("outbox",):
        template = settings["SMS_TEMPLATES"].get("captcha")
        if template and template.get("params") == ["code"]:
            tries[_SMS_PATH] = _TEXT
    return tries


def _curl(url: str, key: str | None, body: str | None = None) -> str:
    parts = ["curl", url] if body is None else ["curl", "-X", "POST", url]
    if key is not None:
        parts += ["-H", quote(f"Authorization: Bearer {key}")]
    if body is not None:
        parts += ["-H", quote("Content-Type: application/json")]
        parts += ["-d", f"@{_SAMPLE}" if body == _ALERT and _SAMPLE.is_file() else quote(body)]
    return " ".join(parts)
