"""The messages of the queue: parse and render."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from carboy.errors import InvalidInput

MAX_BYTES = 262_144
"""What every queue takes; since August 2025 SQS takes four times as much, its stand-ins do not."""


@dataclass(frozen=True, slots=True)
class RowMessage:
    """A row is ready: its id, and the kind of its job."""

    id: int
    kind: str


@dataclass(frozen=True, slots=True)
class CallMessage:
    """A job to be done, without a row.

    Attributes:
        kind: of the job.
        args: its arguments; empty where they are parked.
        at_ms: when it was asked for, in milliseconds since the epoch.
        request_id: of the request that asked.
        tries: that counted before this message was sent; those of the message itself are counted by the queue.
        parked: the name under which the arguments lie, where they are too long for a message.
    """

    kind: str
    args: Sequence[Any]
    at_ms: int
    request_id: str = ""
    tries: int = 0
    parked: str = ""


class _Wire(msgspec.Struct, omit_defaults=True):
    carboy: int
    job: str
    row: str = ""
    args: list[Any] = []
    at: int = 0
    request_id: str = ""
    tries: int = 0
    parked: str = ""


_DECODER = msgspec.json.Decoder(_Wire)
_VERSION = 1


def render_message(message: RowMessage | CallMessage) -> str:
    """Return the text of a message."""
    match message:
        case RowMessage(row, kind):
            wire = _Wire(_VERSION, kind, str(row))
        case CallMessage(kind, args, at_ms, request_id, tries, parked):
            wire = _Wire(_VERSION, kind, "", list(args), at_ms, request_id, tries, parked)
    return orjson.dumps(msgspec.to_builtins(wire)).decode()


def parse_message(text: str) -> RowMessage | CallMessage:
    """Return what a message says.

    Raises:
        InvalidInput: it is not a message of Carboy.
    """
    try:
        wire = _DECODER.decode(text)
        if wire.carboy != _VERSION:
            raise ValueError("it is of another version")
        if wire.row:
            return RowMessage(int(wire.row), wire.job)
    except ValueError as error:
        raise InvalidInput("the message is not understood", str(error), "see who else sends to this queue") from error
    return CallMessage(wire.job, wire.args, wire.at, wire.request_id, wire.tries, wire.parked)
