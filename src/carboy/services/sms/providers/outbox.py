"""The outbox: a file in place of a provider, for local development. One JSON line for each message.

Source: this program's own.
"""

import fcntl
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from carboy.errors import Unreachable
from carboy.http_values import render_time
from carboy.private_folders import make_private_folder
from carboy.services.sms.providers.wire import Message, Outcome


@dataclass(frozen=True, slots=True)
class Account:
    """The outbox's file."""

    path: Path


class Outbox:
    """Appends messages to a file that processes may share; a message is sent once its line is synced."""

    account_type: ClassVar[type] = Account
    needs: ClassVar[Literal["text", "template_id"]] = "text"
    max_receivers: ClassVar[int] = 1000

    def write(self, message: Message, account: Account, template: str) -> Outcome:
        """Append a line for each receiver.

        Raises:
            Unreachable: the file cannot be written.
        """
        at = render_time(message.now_ms)
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
            make_private_folder(account.path.parent)
            descriptor = os.open(account.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _unwritable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _append(descriptor, lines)
        except OSError as error:
            raise _unwritable(error) from error
        finally:
            os.close(descriptor)
        return Outcome("accepted")


def _append(descriptor: int, lines: bytes) -> None:
    """Write all lines or none: a partial write is truncated. A pipe can be neither synced nor truncated."""
    found = os.fstat(descriptor)
    is_file = stat.S_ISREG(found.st_mode)
    try:
        written = 0
        while written < len(lines):
            written += os.write(descriptor, lines[written:])
        if is_file:
            os.fdatasync(descriptor)
    except OSError:
        if is_file:
            os.ftruncate(descriptor, found.st_size)
        raise


def _unwritable(error: OSError) -> Unreachable:
    return Unreachable("the outbox", f"it cannot be written: {error.strerror}", "see SMS_OUTBOX, and its disk")
