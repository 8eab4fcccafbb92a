"""CloudEvents 1.0 over HTTP: where id and type stand in binary and structured mode, and batches one by one.

Source: github.com/cloudevents/spec, v1.0.2, http-protocol-binding.md and formats/json-format.md.
"""

from dataclasses import replace

from carboy.errors import Fault, InvalidInput
from carboy.raw_request import RawRequest

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"


def cloudevent_id(request: RawRequest) -> tuple[str, ...]:
    """Return the places of `source` and `id`, which identify an event."""
    return ("header:ce-source", "header:ce-id") if "ce-id" in request.headers else ("/source", "/id")


def cloudevent_type(request: RawRequest) -> str:
    """Return the place of the event's type."""
    return "header:ce-type" if "ce-id" in request.headers else "/type"


def split_batch(request: RawRequest) -> list[RawRequest]:
    """Return each event of a batch as a request of its own, its bytes as they came; any other request alone.

    Raises:
        InvalidInput: the body is not a JSON array of objects.
    """
    if request.media_type != _BATCH:
        return [request]
    import msgspec

    try:
        events = msgspec.json.decode(request.body, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        detail = "must be a JSON array of CloudEvents"
        raise InvalidInput("the batch cannot be read", detail, "see the sender", [Fault("", detail)]) from error
    wrong = [Fault(f"/{at}", "must be an object") for at, one in enumerate(events) if not bytes(one).startswith(b"{")]
    if wrong:
        raise InvalidInput("the batch cannot be read", "an event is no object", "see the sender", wrong)
    headers = {**request.headers, "content-type": _STRUCTURED}
    return [replace(request, headers=headers, body=bytes(one)) for one in events]
