"""The gateway: what the API's operations and the commands call."""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carboy.clock import Clock
from carboy.config import Rate
from carboy.db import GroupCommit
from carboy.errors import InvalidInput
from carboy.http_values import render_time
from carboy.jobs import PeriodicJob
from carboy.logs import BoundLogger, get_logger, request_id
from carboy.private_folders import make_private_folder
from carboy.problems import Problem
from carboy.services.sms.circuit_breaker import Circuits
from carboy.services.sms.delivery_reports import Report, report
from carboy.services.sms.dispatcher import Dispatcher
from carboy.services.sms.fraud import Guards
from carboy.services.sms.inbound import inbound_row, keep_inbound
from carboy.services.sms.intake import Accepted, Guarded, Submission, accept
from carboy.services.sms.message_queries import Records
from carboy.services.sms.message_store import Cancel, Canceled, cancel
from carboy.services.sms.numbers import Number, hash_number, parse_number
from carboy.services.sms.one_time_codes import Guess, Verdict, code_row, guess, hash_code, subject_of
from carboy.services.sms.providers import Inbound, Receipt
from carboy.services.sms.requests import Catalog, SendRequest
from carboy.services.sms.retention import Upkeep
from carboy.services.sms.send_jobs import BULK_JOB, OTP_JOB
from carboy.services.sms.settings import SmsSettings
from carboy.services.sms.statistics import Statistics
from carboy.web import Counter

log: BoundLogger = get_logger("carboy.sms")

_PART = 100
_OWN_PART = 20  # messages that differ are a call each


@dataclass(slots=True)
class Gateway:
    """Accepts messages, waits for them, reports on them.

    Attributes:
        settings: of the gateway.
        rules: the catalog of what may be requested.
        limits: how often a receiver gets a one-time password.
        guards: against SMS pumping.
        pepper: the key of the hashes of numbers and codes.
        periodic: jobs of each period; a request enqueues one that is missing.
        wake: notifies the job engine.
        unknown_receipts: counts receipts of unknown messages.
        statistics: figures of the messages.
    """

    settings: SmsSettings
    rules: Catalog
    limits: Sequence[Rate]
    guards: Guards
    pepper: bytes
    dispatcher: Dispatcher
    circuits: Circuits
    records: Records
    writer: GroupCommit
    upkeep: Upkeep
    clock: Clock
    periodic: Sequence[PeriodicJob]
    wake: Callable[[], None]
    unknown_receipts: Counter
    statistics: Statistics

    def submit(
        self,
        wanted: SendRequest,
        key_id: str,
        idempotency_key: str | None = None,
        code: str | None = None,
        client: str = "",
    ) -> Accepted:
        """Store a request durably, with the jobs that send it.

        Args:
            wanted: a checked request.
            key_id: the API key's id.
            idempotency_key: a repeated one, with the same body, returns the first request's row.
            code: the one-time password in the message.
            client: the person who asked for the code, if that is known.

        Raises:
            Problem: 422, the idempotency key had another body; 429, a limit is reached.
            Unreachable: it could not be stored; nothing will be sent.
        """
        answer = self.writer.run(accept, self._submission(wanted, key_id, idempotency_key, code, client))
        if isinstance(answer, Problem):
            raise answer
        if isinstance(answer, Guarded):
            raise self.guards.refusal(answer.guard, answer.wait_ms)
        if answer.is_new:
            if code is not None:
                self.guards.note(wanted.receivers[0], "sent")
            for one in self.periodic:
                one.ask()
            self.wake()
        return answer

    def wait(self, row: int, wait_s: float) -> bool:
        """Wait until every message of a request is handed over or failed; return False after the timeout."""
        return self.dispatcher.waiters.wait([row], lambda: self.records.unfinished(row) == 0, wait_s)

    def verify(self, receiver: Number | None, template: str, request: int | None, code: str) -> Verdict:
        """Verify a one-time password."""
        now_ms = self.clock.now_ms()
        subject = subject_of(self.hash(receiver.e164), template) if receiver else ""
        until_ms = now_ms + _ms(self.settings.sms_code_expires)
        one = Guess(subject, request, code, self.pepper, self.settings.sms_code_tries, until_ms, now_ms)
        verdict = self.writer.run(guess, one)
        if verdict.is_verified:
            number = receiver or self._receiver_of(request)
            if number is not None:
                self.guards.note(number, "entered")
        return verdict

    def _receiver_of(self, request: int | None) -> Number | None:
        found = None if request is None else self.records.request(request)
        e164 = found[1][0].receiver if found and found[1] else None
        return parse_number(e164) if e164 else None

    def cancel(self, row: int) -> Canceled:
        """Cancel the messages of a request, or one message, that no provider was asked for yet.

        What was sent stays as it is. Messages that were canceled before count as canceled, so that a repeated call is
        answered alike.

        Raises:
            Problem: 404, there is no such request; 409, all were sent, or ended in another way.
        """
        found = self.writer.run(cancel, Cancel(row, self.clock.now_ms(), self.dispatcher.resends))
        if found is None:
            raise Problem(404, "there is no such request")
        self.dispatcher.waiters.notify(found.request)
        if not found.canceled:
            raise Problem(409, "it is too late to cancel: no message waits to be sent")
        return found

    def take_inbound(self, provider: str, messages: Sequence[Inbound]) -> None:
        """Keep inbound messages, and follow the stop words in them."""
        now_ms, words = self.clock.now_ms(), self.settings.sms_stop_words
        kept = []
        for one in messages:
            try:
                kept.append(inbound_row(provider, one, words, self.hash, now_ms))
            except InvalidInput:
                log.warning("sms_inbound_unreadable", provider=provider, reason="the sender is no telephone number")
        if kept:
            self.writer.run(keep_inbound, tuple(kept))
            self.wake()

    def take_receipts(self, provider: str, receipts: Sequence[Receipt]) -> None:
        """Settle messages by delivery reports."""
        now_ms, resends = self.clock.now_ms(), self.dispatcher.resends
        hashes = [self.hash(one.receiver) if one.receiver else "" for one in receipts]
        reports = [Report(provider, one, hashed, now_ms, resends) for one, hashed in zip(receipts, hashes, strict=True)]
        if reports and (unknown := self.writer.run(report, tuple(reports))):
            self.unknown_receipts.inc((provider,), unknown)

    def hash(self, e164: str) -> str:
        """Return the hash of a number, for look-ups."""
        return hash_number(e164, self.pepper)

    def _submission(
        self, wanted: SendRequest, key_id: str, idempotency_key: str | None, code: str | None, client: str
    ) -> Submission:
        now_ms = self.clock.now_ms()
        settings, options, is_otp = self.settings, wanted.options, wanted.template.otp
        claim = None
        if idempotency_key is not None:
            claim = hashlib.sha256(f"{key_id}\0{idempotency_key}".encode()).hexdigest()
        receivers = [(number, self.hash(number.e164)) for number in wanted.receivers]
        usual_ms = _ms(settings.sms_code_expires if is_otp else settings.sms_expires)
        new_code = None
        if code is not None:
            subject = subject_of(receivers[0][1], wanted.template.name)
            hashed, until_ms = hash_code(code, subject, self.pepper), now_ms + _ms(settings.sms_code_expires)
            new_code = code_row(subject, hashed, settings.sms_code_tries, until_ms)
        pointed = zip(wanted.receivers, wanted.pointers, strict=True)
        real = [(number, pointer) for number, pointer in pointed if number.e164 not in settings.sms_test_numbers]
        return Submission(
            wanted=wanted,
            key_id=key_id,
            claim=claim,
            receivers=receivers,
            limits=self.limits if is_otp else (),
            guards=self.guards.of_request(real, "" if code is None else client) if is_otp and real else [],
            budget=settings.sms_daily_budget,
            parts=self._parts(wanted),
            job=OTP_JOB if is_otp else BULK_JOB,
            expires_at_ms=(options.send_at_ms or now_ms) + (options.expires_after_ms or usual_ms),
            now_ms=now_ms,
            request_id=request_id(),
            callback_url=options.callback_url or ("" if settings.sms_callback_url else None),
            tests=settings.sms_test_numbers,
            code=new_code,
        )

    def _parts(self, wanted: SendRequest) -> dict[str, int]:
        """Return for each country of the receivers how many of them one job carries."""
        most = _OWN_PART if wanted.personal else _PART
        regions = {number.region for number in wanted.receivers}
        return {one: self.dispatcher.batch_size(wanted.template, wanted.provider, most, one) for one in regions}


def describe_request(request: Any, messages: Sequence[Any]) -> dict[str, Any]:
    """Return the JSON document of a request with its messages."""
    return {
        "id": str(request.id),
        "template": request.template,
        "key": request.key_id or None,
        "created_at": render_time(request.created_at),
        "send_at": render_time(request.send_at),
        "messages": [describe_message(one) for one in messages],
    }


def describe_message(row: Any) -> dict[str, Any]:
    """Return the JSON document of a message, with its number masked and without its parameters."""
    return {
        "id": str(row.id),
        "request": str(row.request),
        "receiver": row.receiver_shown,
        "country": row.country,
        "template": row.template,
        "reference": row.reference,
        "state": row.state,
        "provider": row.provider,
        "provider_id": row.provider_id,
        "attempts": row.attempts,
        "segments": row.segments,
        "provider_code": row.code,
        "provider_message": row.words,
        "created_at": render_time(row.created_at),
        "due_at": render_time(row.due_at),
        "sent_at": render_time(row.sent_at),
        "settled_at": render_time(row.settled_at),
    }


def read_pepper(secret_key: str | None, folder: Path) -> bytes:
    """Return the key of the hashes: from `SECRET_KEY`, or from a file of this instance, which is created if missing."""
    if secret_key:
        return hmac.new(secret_key.encode(), b"carboy.sms", hashlib.sha256).digest()
    path = folder / "sms-pepper"
    make_private_folder(folder)
    made = folder / f".sms-pepper-{os.getpid()}-{threading.get_ident()}"
    if not path.exists():
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(os.urandom(32))
        with suppress(FileExistsError):  # the first process wins, and readers see a whole file
            os.link(made, path)
        made.unlink()
    return path.read_bytes()


def _ms(seconds: float) -> int:
    return round(float(seconds) * 1000)
