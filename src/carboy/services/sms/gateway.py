"""The gateway's objects in one: what the operations and the commands call."""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carboy.clock import Clock, from_unix_ms
from carboy.config import Rate
from carboy.db import GroupCommit
from carboy.jobs import Job
from carboy.logs import request_id
from carboy.problems import Problem
from carboy.services.sms.delivery_reports import Report, report
from carboy.services.sms.dispatcher import Dispatcher
from carboy.services.sms.fraud import Guards
from carboy.services.sms.intake import Accepted, Clash, NewCode, OverBudget, OverLimit, Submission, accept
from carboy.services.sms.message_store import Records
from carboy.services.sms.numbers import Number, hash_number, parse_number
from carboy.services.sms.one_time_codes import Guess, Verdict, guess, hash_code, subject_of
from carboy.services.sms.requests import Catalog, SendRequest
from carboy.services.sms.retention import Upkeep
from carboy.services.sms.routing import Circuits
from carboy.services.sms.settings import SmsSettings
from carboy.web import Counter

__all__ = ["Gateway", "describe_message", "describe_request", "read_pepper"]

_PART = 100


@dataclass(slots=True)
class Gateway:
    """Accepts texts, waits for them, tells of them.

    Attributes:
        settings: what the gateway was made with.
        rules: what may be asked for.
        limits: how often a receiver gets a one-time password.
        guards: refuse one-time passwords that look pumped.
        pepper: what hashes of numbers and codes are made with.
        otp_job: sends what cannot wait.
        bulk_job: sends the rest.
        wake: tells the engine that there is work.
        unknown_receipts: counts receipts of messages that are not known.
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
    otp_job: Job[...]
    bulk_job: Job[...]
    upkeep_job: Job[[int]]
    wake: Callable[[], None]
    unknown_receipts: Counter

    def submit(
        self,
        wanted: SendRequest,
        key_id: str,
        idempotency_key: str | None = None,
        code: str | None = None,
        client: str = "",
    ) -> Accepted:
        """Put a text on stable storage, with the work of sending it.

        Args:
            wanted: what `asking` found good.
            key_id: who asks.
            idempotency_key: the same one, with the same body, is answered by the first's row.
            code: the one-time password that it carries.
            client: who wants it, where that is known.

        Raises:
            Problem: 422, the idempotency key had another body; 429, too much.
            Unreachable: it could not be made durable; nothing is promised.
        """
        if code is not None:
            self.guards.check_client(client)
        if wanted.template.otp:
            self.guards.check_receivers(wanted.receivers)
        submission = self._submission(wanted, key_id, idempotency_key, code)
        answer = self._run_again(accept, submission)
        match answer:
            case Clash():
                raise Problem(422, "the Idempotency-Key was used with another body")
            case OverBudget(left, retry_after_s):
                detail = f"SMS_DAILY_BUDGET leaves {left} messages to this key today"
                raise Problem(429, detail, headers=_retry_after(retry_after_s))
            case OverLimit(places, retry_after_s):
                shown = [wanted.receivers[place].shown for place in places]
                detail = f"SMS_RECEIVER_LIMITS: {', '.join(shown[:10])} had too many of this template"
                raise Problem(429, detail, headers=_retry_after(retry_after_s))
        if code is not None:
            self.guards.note_sent(wanted.receivers[0])
        if answer.is_new:
            self.upkeep.ask(self.upkeep_job)
            self.wake()
        accepted: Accepted = answer
        return accepted

    def wait(self, row: int, wait_s: float) -> bool:
        """Wait until every message of a request was handed over or failed; return whether that is so."""
        return self.dispatcher.waiters.wait([row], lambda: self.records.unfinished(row) == 0, wait_s)

    def verify(self, receiver: Number | None, template: str, request: int | None, code: str) -> Verdict:
        """Judge a guess at a one-time password."""
        now_ms = self.clock.now_ms()
        subject = subject_of(self.hash(receiver.e164), template) if receiver else ""
        until_ms = now_ms + _ms(self.settings.sms_code_expires)
        one = Guess(subject, request, code, self.pepper, self.settings.sms_code_tries, until_ms, now_ms)
        verdict: Verdict = self._run_again(guess, one)
        if verdict.is_verified:
            number = receiver or self._receiver_of(request)
            if number is not None:
                self.guards.note_entered(number)
        return verdict

    def _receiver_of(self, request: int | None) -> Number | None:
        found = None if request is None else self.records.request(request)
        e164 = found[1][0].receiver if found and found[1] else None
        return parse_number(e164, "") if e164 else None

    def take_receipts(self, reports: Sequence[Report]) -> None:
        """Settle messages by what their provider says of them."""
        unknown = self.writer.run(report, tuple(reports))
        if unknown:
            self.unknown_receipts.inc((reports[0].provider,), unknown)

    def hash(self, e164: str) -> str:
        """Return what stands for a number in look-ups."""
        return hash_number(e164, self.pepper)

    def _submission(
        self, wanted: SendRequest, key_id: str, idempotency_key: str | None, code: str | None
    ) -> Submission:
        now_ms = self.clock.now_ms()
        claim = None
        if idempotency_key is not None:
            claim = hashlib.sha256(f"{key_id}\0{idempotency_key}".encode()).hexdigest()
        receivers = [(number, self.hash(number.e164)) for number in wanted.receivers]
        settings, template = self.settings, wanted.template
        expires_ms = _ms(settings.sms_code_expires if template.otp else settings.sms_expires)
        new_code = None
        if code is not None:
            subject = subject_of(receivers[0][1], template.name)
            hashed = hash_code(code, subject, self.pepper)
            new_code = NewCode(subject, hashed, settings.sms_code_tries, now_ms + _ms(settings.sms_code_expires))
        first = self.dispatcher.candidates(template, wanted.provider)[0]
        return Submission(
            key_id=key_id,
            claim=claim,
            digest=wanted.digest,
            template=template.name,
            params=orjson.dumps(wanted.params),
            provider=wanted.provider,
            receivers=receivers,
            segments=wanted.parts,
            limits=self.limits if template.otp else (),
            budget=settings.sms_daily_budget,
            part=min(_PART, self.dispatcher.routes[first].max_receivers),
            job=self.otp_job if template.otp else self.bulk_job,
            expires_at_ms=now_ms + expires_ms,
            now_ms=now_ms,
            request_id=request_id(),
            code=new_code,
        )

    def _run_again(self, apply: Any, item: Any) -> Any:
        """Write; where another process has just written the same unique row, look again: now it is there."""
        from sqlalchemy.exc import IntegrityError

        for _ in range(2):
            try:
                return self.writer.run(apply, item)
            except IntegrityError:
                continue
        return self.writer.run(apply, item)


def describe_request(request: Any, messages: Sequence[Any]) -> dict[str, Any]:
    """Return a request as it is told."""
    return {
        "id": str(request.id),
        "template": request.template,
        "key": request.key_id or None,
        "created_at": _iso(request.created_at),
        "messages": [describe_message(one) for one in messages],
    }


def describe_message(row: Any) -> dict[str, Any]:
    """Return a message as it is told: its number masked, of its parameters nothing."""
    return {
        "id": str(row.id),
        "request": str(row.request),
        "receiver": row.receiver_shown,
        "template": row.template,
        "state": row.state,
        "provider": row.provider,
        "provider_id": row.provider_id,
        "attempts": row.attempts,
        "segments": row.segments,
        "provider_code": row.code,
        "provider_message": row.words,
        "created_at": _iso(row.created_at),
        "sent_at": _iso(row.sent_at),
        "settled_at": _iso(row.settled_at),
    }


def read_pepper(secret_key: str | None, folder: Path) -> bytes:
    """Return the key of hashes: from `SECRET_KEY`, or from a file of this instance that is made when it is missing."""
    if secret_key:
        return hmac.new(secret_key.encode(), b"carboy.sms", hashlib.sha256).digest()
    path = folder / "sms-pepper"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f".sms-pepper-{os.getpid()}-{threading.get_ident()}"
    if not path.exists():
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(os.urandom(32))
        try:
            os.link(made, path)  # whoever is first wins, and what is read is whole
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_bytes()


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, int(-(-seconds // 1))))}


def _ms(seconds: float) -> int:
    return round(float(seconds) * 1000)


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else from_unix_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
