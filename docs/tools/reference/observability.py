"""The reference pages of metrics, log lines and events."""

import ast
import typing
from collections.abc import Iterator
from dataclasses import dataclass

from docs.tools.reference.source import calls, literals, signals, template
from docs.tools.reference.tables import page, table

__all__ = ["Metric", "metrics", "render_events", "render_logs", "render_metrics"]

_METRICS = {"counter": "counter", "gauge": "gauge", "histogram": "histogram", "collect": "gauge"}
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
LINE_FIELDS = (
    ("ts", "every line", "when, RFC 3339, UTC, microseconds"),
    ("level", "every line", "`debug`, `info`, `warning`, `error` or `critical`"),
    ("logger", "every line", "who logs, by its dotted name"),
    ("event", "every line", "what happened; of Carboy's own, one of the names below"),
    ("request_id", "lines of a request or a job", "the caller's `X-Request-Id`, or a new one"),
    ("api_request_id", "on Lambda", "the id that the API or load balancer gave the request"),
    ("lambda_request_id", "on Lambda", "the id of the invocation"),
    ("cold_start", "on Lambda", "whether this is the first event of the process"),
    ("exception", "lines with an error", "`type`, `message`, `stack`, and `cause` with the same"),
)
"""What a line holds besides its event's own facts: the field, where, and what."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the source declares it; `part` is the folder that does."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    part: str


def metrics() -> list[Metric]:
    """Return the metrics that the source declares, by name."""
    found = []
    for call in calls(lambda name, node: name in _METRICS and len(node.args) >= 2 and bool(literals(node.args[0]))):
        name, help_text = (template(node) or "" for node in call.node.args[:2])
        labels = tuple(text for node in call.node.args[2:] for text in literals(node))
        kind = next((one.value for one in call.node.keywords if one.arg == "kind"), None)
        said = literals(kind)[0] if kind is not None else _METRICS[call.name]
        found.append(Metric(name, said, labels, help_text, call.part))
    return sorted(found, key=lambda one: f"`{one.name}`")


def render_metrics() -> str:
    """Return the page of the metrics."""
    rows = [
        (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help, one.part)
        for one in metrics()
    ]
    return page(
        "Metrics",
        "`GET /metrics` is Prometheus' text format. It is served to a key of scope `metrics:read`, and without a key\n"
        "on `METRICS_BIND`. It is the sum over all workers of the instance, with what the application declares with\n"
        "prometheus-client itself.",
        table(("name", "kind", "labels", "what", "part"), rows),
    )


def render_logs() -> str:
    """Return the page of the log lines: the fields of all, and the events of each part."""
    by_part: dict[str, dict[str, tuple[str, str]]] = {}
    for call in calls(_is_logged):
        facts = ", ".join(_facts(call.node))
        level = "error" if call.name == "exception" else call.name
        for event in literals(call.node.args[0]):
            by_part.setdefault(call.part, {}).setdefault(event, (level, facts))
    sections = []
    for part, events in sorted(by_part.items()):
        rows = [(f"`{event}`", level, facts) for event, (level, facts) in sorted(events.items())]
        sections += [f"## {part}", table(("event", "level", "facts"), rows)]
    return page(
        "Log lines",
        "One JSON line for each event. The name of an event never changes with its facts, so that it can be counted.",
        table(("field", "where", "what"), [(f"`{name}`", where, what) for name, where, what in LINE_FIELDS]),
        *sections,
    )


def _facts(node: ast.Call) -> Iterator[str]:
    """Yield the facts that a call logs, as the page has them."""
    for keyword in node.keywords:
        match keyword:
            case ast.keyword(arg="extra", value=ast.Dict(keys=keys)):
                yield from (f"`{one}`" for key in keys if key is not None for one in literals(key))
            case ast.keyword(arg=None):
                yield "…"
            case ast.keyword(arg=str(name)) if name != "exc_info":
                yield f"`{name}`"


def _is_logged(name: str, node: ast.Call) -> bool:
    """Return whether a call logs an event: `log.info("name", …)`, on a logger of any name."""
    if name not in _LEVELS or not isinstance(node.func, ast.Attribute) or not node.args:
        return False
    logger = ast.unparse(node.func.value).rpartition(".")[2]
    return logger in {"log", "_log", "logger"} and all(" " not in text for text in literals(node.args[0]))


def render_events() -> str:
    """Return the page of the events: signals within the process, events of Lambda, jobs."""
    from carboy.events import EventKind

    kinds = [(f"`{kind}`", _HANDED.get(kind, "the whole event")) for kind in typing.get_args(EventKind)]
    return page(
        "Events",
        "## Signals",
        "Signals of blinker: `@signal.connect`.",
        table(("signal", "sent"), [(f"`{one.path}`", one.what) for one in signals()]),
        "## Events of Lambda",
        "`@app.on_event(kind, name)`; the name is the last part of the ARN of what the event comes from.",
        table(("kind", "the function is called with"), kinds),
        "## Jobs",
        "The kinds of jobs of the two services, as rows, metrics and `carboy jobs` name them.",
        table(("kind", "attempts", "wait between attempts, s", "timeout, s", "priority"), _jobs()),
    )


_HANDED = {"sqs": "one record", "sns": "the `Sns` object of one record", "other": "any event that is none of these"}


def _jobs() -> list[tuple[str, ...]]:
    from docs.tools.reference.application import example

    with example() as held:
        found = [held.jobs.registry.get(kind) for kind in held.jobs.registry.kinds]
    return [
        (
            f"`{one.kind}`",
            str(one.attempts),
            "{:g} to {:g}".format(*one.backoff_s),
            f"{one.timeout_s:g}",
            str(one.priority),
        )
        for one in found
    ]
