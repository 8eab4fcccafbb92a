"""Recognise the kind of a Lambda event by its shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Kind = Literal[
    "rest-v1", "http-v2", "alb",
    "sqs", "sns", "s3", "dynamodb", "kinesis", "schedule", "eventbridge", "authorizer", "other",
]  # fmt: skip

SqsRunner = Callable[[list[dict[str, Any]]], Sequence[str]]
"""Works on the records of a batch and returns the `messageId` of those that are to come back."""

_RECORD_SOURCES: dict[str, Kind] = {
    "aws:sqs": "sqs",
    "aws:sns": "sns",
    "aws:s3": "s3",
    "aws:dynamodb": "dynamodb",
    "aws:kinesis": "kinesis",
}


def kind_of(event: Any) -> Kind:
    """Return what kind of event this is; `rest-v1` is payload format 1.0 of any gateway, `http-v2` format 2.0."""
    if not isinstance(event, dict):
        return "other"
    if "httpMethod" in event and "path" in event:
        request = event.get("requestContext")
        if request and "elb" in request:
            return "alb"
        return "authorizer" if "methodArn" in event else "rest-v1"
    request = event.get("requestContext")
    if isinstance(request, dict) and "http" in request:
        return "authorizer" if "routeArn" in event else "http-v2"
    return _without_http(event)


def _without_http(event: Mapping[str, Any]) -> Kind:
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource") or records[0].get("EventSource")
        return _RECORD_SOURCES.get(source or "", "other")
    if "detail-type" in event and "source" in event:
        return "schedule" if event["detail-type"] == "Scheduled Event" else "eventbridge"
    if event.get("type") in {"TOKEN", "REQUEST"} and ("methodArn" in event or "routeArn" in event):
        return "authorizer"
    return "other"


def source_name(kind: Kind, event: Mapping[str, Any]) -> str:
    """Return what an event or a record comes from: the last part of the ARN of its queue, topic, rule and so on.

    Args:
        kind: of the event.
        event: the record of `sqs`, the `Sns` object of `sns`, the whole event of all the others.
    """
    match kind:
        case "sqs":
            return _last(event.get("eventSourceARN"))
        case "sns":
            return _last(event.get("TopicArn"))
        case "schedule" | "eventbridge":
            resources = event.get("resources") or [""]
            return _last(resources[0])
        case "s3":
            return str(event["Records"][0].get("s3", {}).get("bucket", {}).get("name", ""))
        case "dynamodb" | "kinesis":
            arn = str(event["Records"][0].get("eventSourceARN", ""))
            return arn.rpartition(":")[2].split("/")[1] if "/" in arn else ""
        case _:
            return ""


def _last(arn: Any) -> str:
    return str(arn or "").rpartition(":")[2].rpartition("/")[2]
