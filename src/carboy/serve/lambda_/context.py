"""A Lambda context object for runs without Lambda."""

from dataclasses import dataclass, field

from carboy.clock import SYSTEM_CLOCK, Clock


@dataclass(slots=True)
class LambdaContext:
    """What a handler can ask about its invocation.

    Attributes:
        timeout_s: how long the function may run, from the making of the context.
        clock: measures how much of that is used.
    """

    aws_request_id: str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    function_name: str = "carboy"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:carboy"
    memory_limit_in_mb: str = "512"
    log_group_name: str = "/aws/lambda/carboy"
    log_stream_name: str = "2026/01/02/[$LATEST]00000000000000000000000000000000"
    identity: object = None
    client_context: object = None
    tenant_id: str | None = None
    timeout_s: float = 30.0
    clock: Clock = SYSTEM_CLOCK
    _started_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._started_s = self.clock.monotonic_s()

    def get_remaining_time_in_millis(self) -> int:
        """Return how many milliseconds are left before Lambda ends the invocation; never below 0."""
        return max(0, int((self.timeout_s - (self.clock.monotonic_s() - self._started_s)) * 1000))
