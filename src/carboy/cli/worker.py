"""`carboy worker`."""

import click

from carboy.cli.project import Project, pass_project, runtime_of
from carboy.errors import UsageError


@click.command("worker")
@click.option(
    "--concurrency", type=click.IntRange(1), help="Jobs run at the same time.  [default: JOBS_CONCURRENCY, 8]"
)
@pass_project
@click.pass_context
def command(ctx: click.Context, project: Project, concurrency: int | None) -> None:
    """Run jobs only.

    SIGTERM and Ctrl-C wait for the jobs that run (at most JOBS_DRAIN_S), give the others back, then stop; a second one
    stops at once. With JOBS_ENGINE=celery this is a Celery worker of as many processes; Ctrl-C there stops in the same
    way, and `celery -A carboy.celery_app worker` has all of Celery's options.

    Example:
      carboy worker --concurrency 16
    """
    from carboy.config.environ import write_environ
    from carboy.serve import Service
    from carboy.serve.signals import StopSignals

    if concurrency is not None:
        write_environ("FLASK_JOBS_CONCURRENCY", str(concurrency))
    with StopSignals() as signals:
        service = Service(project.make_app())
        runtime = runtime_of(service)
        if runtime.settings["JOBS_ENGINE"] == "sqs":
            raise UsageError(
                "a worker has nothing to do here",
                "with JOBS_ENGINE `sqs` the events of the queue run the jobs, on Lambda",
                "give the function an SQS trigger, or set another engine",
            )
        if runtime.settings["JOBS_ENGINE"] != "celery":
            service.prepare()
            service.start()
            click.echo(f"{runtime.settings['JOBS_CONCURRENCY']} jobs at once; Ctrl-C stops", err=True)
            signals.wait_for_stop()
            service.stop()
            return
    if not signals.is_stopping:  # Celery has its own ears for signals
        from carboy.serve.celery_worker import run_worker

        click.echo(f"{runtime.settings['JOBS_CONCURRENCY']} jobs at once, by Celery; Ctrl-C stops", err=True)
        ctx.exit(run_worker(service))
