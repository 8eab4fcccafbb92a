"""The outbox: a file in place of a provider, for trying things out. One JSON line for each text.

Source: this program's own.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from carboy.clock import from_unix_ms
from carboy.errors import Unreachable
from carboy.services.sms.providers.wire import Message, Outcome

__all__ = ["Account", "Outbox"]


@dataclass(frozen=True, slots=True)
class Account:
    """Where the file is."""

    path: Path


class Outbox:
    """Appends lines to a file, synced before a message counts as sent; processes may share it."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1000
    all_or_nothing: ClassVar[bool] = False

    def write(self, message: Message, account: Account, template: str) -> Outcome:
        """Append a line for each receiver.

        Raises:
            Unreachable: the file cannot be written; nothing was.
        """
        at = from_unix_ms(message.now_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = "".join(
            json.dumps(
                {
                    "id": message_id,
                    "receiver": receiver,
                    "template": template,
                    "text": message.text,
                    "params": dict(message.params),
                    "at": at,
                },
                ensure_ascii=False,
            )
            + "\n"
            for message_id, receiver in zip(message.ids, message.receivers, strict=True)
        ).encode()
        try:
            account.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(account.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _away(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _append(descriptor, lines)
        except OSError as error:
            raise _away(error) from error
        finally:
            os.close(descriptor)
        return Outcome("accepted")


def _append(descriptor: int, lines: bytes) -> None:
    """Write all of it, or nothing: what was begun is taken back."""
    size = os.fstat(descriptor).st_size
    try:
        written = 0
        while written < len(lines):
            written += os.write(descriptor, lines[written:])
        os.fdatasync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _away(error: OSError) -> Unreachable:
    return Unreachable("the outbox", f"it cannot be written: {error.strerror}", "see SMS_OUTBOX, and its disk")
