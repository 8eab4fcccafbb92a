"""`carboy lambda`: run the Lambda handler here."""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import print_json
from carboy.cli.project import Project, pass_project
from carboy.errors import CarboyError, InvalidInput, Missing, UsageError

if TYPE_CHECKING:
    from carboy.serve.lambda_.handler import LambdaHandler

_SAMPLES = ("rest-v1", "http-v1", "http-v2", "alb", "alb-multi", "url", "sqs", "sns", "schedule", "authorizer")
_NAMED = ("sqs", "sns", "schedule")


@click.group("lambda")
def command() -> None:
    """Invoke the Lambda handler locally.

    Example:
      carboy lambda invoke --sample http-v2 --path /livez
    """


@command.command("invoke")
@click.argument("event_file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--sample", type=click.Choice(_SAMPLES), help="An event of this kind instead of a file.")
@click.option("--method", default="GET", show_default=True, help="The method of a sample that is a request.")
@click.option("--path", "url", default="/", show_default=True, help="Its path and query.")
@click.option("--name", default="", help="The queue, topic or rule that a sample comes from, as `on_event` names it.")
@click.option("--body", help="Its body, or that of a sample's message.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds that the function may take.")
@pass_project
@click.pass_context
def invoke(
    ctx: click.Context,
    project: Project,
    event_file: str | None,
    sample: str | None,
    method: str,
    url: str,
    name: str,
    body: str | None,
    timeout_s: float,
) -> None:
    """Send an event to the handler and print its response; logs and timing go to stderr.

    The event is a JSON file (`-` for stdin) or a sample. Exit code 1 when the handler ends with an error, or answers
    5xx.

    Example:
      carboy lambda invoke event.json --app app:create_app
      carboy lambda invoke --sample rest-v1 --method POST --path /orders --body '{"n": 1}'
      carboy lambda invoke --sample schedule --name cleanup
    """
    from carboy.serve.lambda_.context import LambdaContext

    if (event_file is None) == (sample is None):
        raise UsageError("there is no event to send", "give a file or --sample, one of them", "see --help")
    if name and sample not in _NAMED:
        raise UsageError("--name has no meaning here", f"it is for the samples {', '.join(_NAMED)}", "leave it out")
    event = _read(event_file) if event_file is not None else _sample(str(sample), method, url, body, name)
    with contextlib.redirect_stdout(sys.stderr):  # what is logged and printed; the answer alone is data
        started_s = time.perf_counter()
        handler = _handler(project)
        ready_s = time.perf_counter()
        try:
            answer = handler(event, LambdaContext(timeout_s=timeout_s))
        except InvalidInput as error:  # of the event: the handler failed, and the command was used well
            raise CarboyError(error.what, error.why, error.hint) from error
        except Missing as error:
            known = handler.sources(sample) if sample in _NAMED and not name else []
            if not known:
                raise
            raise Missing(error.what, error.why, f"say where the sample comes from: --name {known[0]}") from error
        ended_s = time.perf_counter()
    print_json(answer)
    click.echo(
        f"init {(ready_s - started_s) * 1000:.1f} ms, duration {(ended_s - ready_s) * 1000:.1f} ms, "
        f"memory {_peak_mb():.0f} MB",
        err=True,
    )
    if isinstance(answer, dict) and int(answer.get("statusCode") or 0) >= 500:
        ctx.exit(1)


def _read(event_file: str) -> Any:
    text = sys.stdin.read() if event_file == "-" else Path(event_file).read_text("utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"`{event_file}` is no event", f"it is no JSON: {error}", "see --sample for one") from error


def _sample(kind: str, method: str, url: str, body: str | None, name: str) -> Any:
    from carboy.serve.lambda_ import sample_events as forms

    requests: dict[str, Callable[..., Any]] = {
        "rest-v1": forms.rest_v1,
        "http-v1": forms.http_v1,
        "http-v2": forms.http_v2,
        "url": forms.function_url,
        "alb": forms.alb,
        "alb-multi": partial(forms.alb, multi_value=True),
    }
    if kind in requests:
        return requests[kind](method, url, body=body.encode() if body is not None else None)
    match kind:
        case "sqs":
            return forms.sqs(body or "{}", queue=name or "jobs")
        case "sns":
            return forms.sns(body or "Hello from SNS!", topic=name or "alerts")
        case "schedule":
            return forms.schedule(name or "nightly")
        case _:
            return forms.authorizer_request(method, url)


def _handler(project: Project) -> "LambdaHandler":
    from carboy.serve import lambda_handler
    from carboy.serve.lambda_.handler import LambdaHandler

    given = _application(project)
    return given if isinstance(given, LambdaHandler) else lambda_handler(given)


def _application(project: Project) -> Any:
    """Return what `--app` names: a Flask application as Flask finds it, or anything else by `module:name`."""
    path = project.app_path()
    if path is not None and ":" in path and "(" not in path:
        from werkzeug.utils import ImportStringError, import_string

        project.export()
        try:
            given = import_string(path)
        except ImportStringError:
            return project.make_quiet_app()  # which says what is wrong with it
        if not hasattr(given, "wsgi_app"):
            return given
    return project.make_quiet_app()


def _peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1_048_576
