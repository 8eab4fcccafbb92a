"""`carboy serve`."""

import os
from pathlib import Path
from typing import cast

import click

from carboy.cli.output import note
from carboy.cli.project import Project, pass_project
from carboy.errors import UsageError
from carboy.serve.plan import ServerName


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    help="The port; 0 for a free one.  [default: the variable PORT, or 8000]",
)
@click.option(
    "--server",
    type=click.Choice(["gunicorn", "granian", "dev"]),
    default="gunicorn",
    show_default=True,
    help="The web server; granian is accepted, and served by gunicorn.",
)
@click.option("--workers", type=int, default=1, show_default=True, help="Number of processes; SQLite needs one.")
@click.option(
    "--threads", type=int, default=32, show_default=True, help="Threads per process: requests handled at the same time."
)
@click.option("--reload", is_flag=True, help="Restart when a file changes; for development.")
@click.option(
    "--openapi",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    metavar="FILE",
    help="Serve this OpenAPI document; each operationId names its function.",
)
@pass_project
def command(
    project: Project,
    host: str,
    port: int | None,
    server: str,
    workers: int,
    threads: int,
    reload: bool,
    openapi: Path | None,
) -> None:
    """Serve the application, and run its jobs.

    An embedded (SQLite) database is brought to its newest form first. SIGTERM and Ctrl-C finish every accepted
    request, then stop; a second one stops at once.

    Example:
      carboy serve --port 8080
      carboy serve --app app:create_app --workers 4
      carboy serve --openapi swagger.yml
    """
    from werkzeug.serving import is_running_from_reloader

    from carboy.cli.startup_notes import show_first_steps
    from carboy.serve import Plan, ServeSettings, check_plan, serve

    if openapi is not None and project.app is not None:
        raise UsageError(
            "--openapi and --app do not go together",
            "the document is served in place of an application",
            "leave one out; an application of its own serves a document by `carboy.web.add_api`",
        )
    project.openapi = openapi
    if server == "granian":
        note("note: --server granian is served by gunicorn, which now does better with slow clients")
        server = "gunicorn"
    if openapi is None and project.app_path() is None and not project.has_modules():
        note(f"note: {_no_application()}")
    port = project.port() if port is None else port
    plan = Plan("dev" if reload else cast("ServerName", server), host, port, workers, threads, reload)
    check_plan(plan)
    settings = ServeSettings()
    if not is_running_from_reloader():  # there a fault that a change brought waits for the next one
        settings = project.settings(ServeSettings).part(ServeSettings)
    process_id = os.getpid()
    try:
        serve(plan, project.make_app, settings, lambda service, url: show_first_steps(service, url, plan))
    except SystemExit as end:
        if end.code or os.getpid() != process_id:  # it failed, or is a worker that ends
            raise
    if not is_running_from_reloader():
        note("stopped: every accepted request was answered")


def _no_application() -> str:
    """Return a note that the gateway is served, with the file here that looks like an application."""
    found = next((name for name in ("app", "wsgi") if Path(f"{name}.py").is_file()), None)
    hint = f"; `--app {found}` serves {found}.py" if found else ""
    return f"no application was named (--app, FLASK_APP, `app` in carboy.toml): this is the built-in gateway{hint}"
