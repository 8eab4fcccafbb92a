"""Events that are no HTTP requests: call what wants them, and answer as each source expects."""

from collections.abc import Callable, Mapping
from typing import Any

from carboy.errors import InvalidInput, Missing
from carboy.events import Events
from carboy.logs import BoundLogger, get_logger
from carboy.serve.lambda_.authorizer import render_decision
from carboy.serve.lambda_.event_types import Kind, SqsRunner, source_name

log: BoundLogger = get_logger("carboy.serve.lambda")


def answer_event(
    kind: Kind, event: Any, events: Events, on_sqs: SqsRunner | None, is_time_left: Callable[[], bool]
) -> Any:
    """Call the functions that want an event and return what its source is to get.

    Args:
        kind: what kind of event it is; not one of HTTP.
        event: as Lambda decoded it.
        events: the functions of the application.
        on_sqs: works on batches of SQS that no registered function wants.
        is_time_left: whether there is time for one more record.

    Raises:
        Missing: no function wants the event.
        InvalidInput: the type of the event is unknown.
        Unauthorized: an authorizer's function knows no such caller.
    """
    match kind:
        case "sqs":
            return _answer_sqs(event["Records"], events, on_sqs, is_time_left)
        case "sns":
            for record in event["Records"]:
                for function in _wanting(events, "sns", record.get("Sns")):
                    function(record["Sns"])
            return None
        case "authorizer":
            return render_decision(_wanting(events, kind, event)[0](event), event)
        case _:
            answers = [function(event) for function in _wanting(events, kind, event)]
            return answers[-1]


def _answer_sqs(
    records: list[dict[str, Any]], events: Events, on_sqs: SqsRunner | None, is_time_left: Callable[[], bool]
) -> dict[str, Any]:
    functions = events.find("sqs", source_name("sqs", records[0]), records[0])
    if functions:
        failed = _run_each(records, functions, is_time_left)
    elif on_sqs is not None:
        run_while = getattr(on_sqs, "run_while", None)  # that of the job engine looks at the time
        failed = list(run_while(records, is_time_left) if run_while else on_sqs(records))
    else:
        raise _no_function("sqs", source_name("sqs", records[0]), events.names("sqs"))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _run_each(
    records: list[dict[str, Any]], functions: list[Callable[..., Any]], is_time_left: Callable[[], bool]
) -> list[str]:
    """Return the ids of the messages that failed, or for which there was no time.

    Of a FIFO queue's group, nothing is run after a failure: the messages after it come back with it, in their order.
    """
    failed: list[str] = []
    broken_groups: set[str] = set()
    for record in records:
        group = (record.get("attributes") or {}).get("MessageGroupId")
        if group in broken_groups or not is_time_left():
            failed.append(record["messageId"])
            continue
        try:
            for function in functions:
                function(record)
        except Exception:
            log.exception("sqs_message_failed", message_id=record["messageId"])
            failed.append(record["messageId"])
            if group and str(record.get("eventSourceARN", "")).endswith(".fifo"):
                broken_groups.add(group)
    return failed


def _wanting(events: Events, kind: Kind, event: Any) -> list[Callable[..., Any]]:
    if not isinstance(event, dict):
        raise InvalidInput(
            "the event is not understood", f"it is a `{type(event).__name__}`", "send a JSON object, as AWS does"
        )
    name = source_name(kind, event)
    functions = events.find(kind, name, event)  # type: ignore[arg-type]
    if functions:
        return functions
    if kind == "other":
        raise _unknown(event)
    raise _no_function(kind, name, events.names(kind))


def _unknown(event: Mapping[str, Any]) -> InvalidInput:
    keys = ", ".join(f"`{key}`" for key in sorted(map(str, event))) or "none"
    return InvalidInput(
        "the event is not understood",
        f"it is no HTTP request, and none of the other kinds that are known; its keys: {keys}",
        'register a function for it with @app.on_event("other")',
    )


def _no_function(kind: str, name: str, known: list[str]) -> Missing:
    source = f" from `{name}`" if name else ""
    or_jobs = ", or set JOBS_ENGINE=sqs where its messages are those of jobs" if kind == "sqs" else ""
    listed = f"functions are registered for {', '.join(f'`{one}`' for one in known)}"
    return Missing(
        f"an event of the kind `{kind}`{source} is not handled",
        listed if known else "no function is registered for it",
        f'register one with @app.on_event("{kind}"){or_jobs}, or take the trigger off the function',
    )
