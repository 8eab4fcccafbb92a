"""Lambda's events and context as AWS documents them: what `carboy lambda invoke --sample` sends, for tests."""

from carboy.serve.lambda_.context import LambdaContext
from carboy.serve.lambda_.sample_events import (
    alb,
    authorizer_request,
    authorizer_token,
    authorizer_v2,
    eventbridge,
    function_url,
    http_v1,
    http_v2,
    rest_v1,
    schedule,
    sns,
    sqs,
)

__all__ = [
    "LambdaContext",
    "alb",
    "authorizer_request",
    "authorizer_token",
    "authorizer_v2",
    "eventbridge",
    "function_url",
    "http_v1",
    "http_v2",
    "rest_v1",
    "schedule",
    "sns",
    "sqs",
]
