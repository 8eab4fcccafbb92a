"""`carboy console`."""

import webbrowser

import click

from carboy.cli.project import Project, pass_project
from carboy.cli.startup_notes import local_key
from carboy.errors import UsageError


@click.command("console")
@click.option("--url", help="Where the console is served; by default CONSOLE_BIND, or `--port` of this machine.")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(1, 65535),
    help="The port of `carboy serve`.  [default: the variable PORT, or 8000]",
)
@click.option("--no-open", is_flag=True, help="Print the address without opening it.")
@pass_project
def command(project: Project, url: str | None, port: int | None, no_open: bool) -> None:
    """Open the console, logged in by a one-time address.

    It is made for the profile `local`; elsewhere log in with an API key.

    Example:
      carboy console
      carboy console --port 8080 --no-open
    """
    from carboy.web.console.sessions import make_login

    runtime = project.runtime()
    if not runtime.settings["CONSOLE"]:
        raise UsageError("there is no console", "CONSOLE is off", "set CONSOLE=on")
    bind = (None if port else runtime.settings["CONSOLE_BIND"]) or f"127.0.0.1:{port or project.port()}"
    url = (url or f"http://{bind}").rstrip("/")
    if runtime.settings.profile.name != "local":
        hint = f"open {url}/login and enter a key of `carboy keys create`"
        raise UsageError("a one-time login is for the profile `local`", f"this is `{runtime.settings.profile}`", hint)
    path = make_login(runtime, local_key(runtime)) if runtime.settings["AUTH"] else "/"
    click.echo(f"{url}{path}")
    if not no_open:
        webbrowser.open(f"{url}{path}")
