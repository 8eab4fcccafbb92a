"""`carboy keys`."""

from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import did_you_mean, json_option, note, print_json, print_table, time_text
from carboy.cli.project import Project, pass_project

if TYPE_CHECKING:
    from carboy.web import Runtime
    from carboy.web.auth.api_keys import Key


@click.group("keys")
def command() -> None:
    """Create, list and revoke API keys.

    Example:
      carboy keys create sender --scope archive:write
      carboy keys list
    """


@command.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="A scope; repeatable.")
@json_option
@pass_project
def create(project: Project, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Create a key and print it once; only its hash is stored.

    The scopes are archive:write, archive:read, destinations:read, destinations:write, sms:send, sms:read, sms:numbers,
    sms:content, jobs:admin, metrics:read, keys:admin, settings:read, audit:read, and those of modules.

    Example:
      carboy keys create sender --scope archive:write --scope archive:read
    """
    runtime = project.runtime()
    key, text = runtime.keys.store.create(name, scopes)
    asked = _scopes_asked_for(runtime)
    for scope in key.scopes:
        near = None if scope in asked else did_you_mean(scope, asked, 0.8)
        if near:
            note(f"note: no operation asks for `{scope}`; did you mean `{near}`?")
    if as_json:
        print_json({**_describe(key), "key": text})
        return
    rights = ", ".join(key.scopes)
    click.echo(f"key {key.id} `{key.name}` with {rights}{_file(runtime)}; it is not shown again", err=True)
    click.echo(text)


@command.command("list")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the keys with their scopes and last use.

    Example:
      carboy keys list --json
    """
    keys = project.runtime().keys.store.list()
    if as_json:
        print_json([_describe(key) for key in keys])
        return
    print_table(
        ("ID", "NAME", "SCOPES", "CREATED", "LAST USED", "REVOKED"),
        [
            (
                key.id,
                key.name,
                " ".join(key.scopes),
                *(time_text(at) for at in (key.created_at, key.last_used_at, key.revoked_at)),
            )
            for key in keys
        ],
    )


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@pass_project
def revoke(project: Project, key_id: str) -> None:
    """Revoke a key.

    Example:
      carboy keys revoke 3kd0v9q2x7ma
    """
    key = project.runtime().keys.store.revoke(key_id)
    click.echo(f"key {key.id} `{key.name}` is revoked", err=True)


def _file(runtime: "Runtime") -> str:
    """Say in which file an embedded database is: another folder has another, whose keys a service does not know."""
    url = runtime.engine.url
    return f", in {url.database}" if url.get_backend_name() == "sqlite" and url.database else ""


def _scopes_asked_for(runtime: "Runtime") -> set[str]:
    """Return the scopes that operations of the OpenAPI documents ask for, and those of Carboy's own parts."""
    from carboy.web.auth.api_keys import SCOPES

    found: set[str] = set(SCOPES)
    for document in (make() for make in runtime.documents):
        paths = document.get("paths", {}).values()
        operations = [one for path in paths for one in path.values() if isinstance(one, dict)]
        for requirement in (each for one in (document, *operations) for each in one.get("security", ())):
            found |= {scope for scopes in requirement.values() for scope in scopes}
    return found


def _describe(key: "Key") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": time_text(key.created_at),
        "last_used_at": time_text(key.last_used_at),
        "revoked_at": time_text(key.revoked_at),
    }
