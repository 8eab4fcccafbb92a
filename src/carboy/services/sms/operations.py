"""The operations of `openapi.yaml`, by their operationId."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response
from sqlalchemy import Table

from carboy.api import Caller
from carboy.errors import Fault, InvalidInput, Missing
from carboy.http_values import MAX_ID, parse_query_time, render_time
from carboy.problems import Problem
from carboy.services.sms.gateway import Gateway, describe_message, describe_request
from carboy.services.sms.numbers import Number, parse_number
from carboy.services.sms.one_time_codes import make_code
from carboy.services.sms.opt_outs import OptOut, opt_in, opt_out
from carboy.services.sms.provider_reports import describe_providers, turn_provider
from carboy.services.sms.provider_webhooks import ProviderWebhooks
from carboy.services.sms.providers import Inbound, Receipt
from carboy.services.sms.requests import read_otp, read_send, read_verify
from carboy.services.sms.states import FAILED, OPEN, is_handed_over
from carboy.services.sms.statistics import as_csv, day_text, read_statistics_query
from carboy.services.sms.tables import INBOUND, MESSAGES, OPT_OUTS

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class SmsOperations:
    """What the gateway answers."""

    gateway: Gateway
    receipts: ProviderWebhooks[Receipt]
    inbound: ProviderWebhooks[Inbound]

    def get_health(self) -> dict[str, str]:
        """Return that the service responds."""
        return {"message": "ok"}

    def send_sms(self, caller: Caller, body: Any, wait: float = 0.0, idempotency_key: str | None = None) -> Response:
        """Accept a message for one or more receivers."""
        wanted = read_send(body, self.gateway.rules)
        accepted = self.gateway.submit(wanted, caller.id, idempotency_key)
        is_done = wait > 0 and self.gateway.wait(accepted.row, wait)
        if accepted.is_new and not is_done:  # without a query
            state = "queued" if wanted.options.send_at_ms is None else "scheduled"
            sent = zip(accepted.ids, wanted.receivers, strict=True)
            messages = [{"id": str(row), "receiver": number.shown, "state": state} for row, number in sent]
            return _json({"message": "accepted", "id": str(accepted.row), "messages": messages}, 202)
        return self._answer(accepted.row, is_new=accepted.is_new, is_done=is_done)

    def get_request(self, sms_id: str) -> dict[str, Any]:
        """Return a request with all its messages."""
        found = self.gateway.records.request(min(int(sms_id), MAX_ID))
        if found is None:
            raise Problem(404, "there is no such request")
        return {"message": _summary([one.state for one in found[1]]), **describe_request(*found)}

    def list_messages(
        self,
        receiver: str | None = None,
        state: str | None = None,
        since: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        template: str | None = None,
        provider: str | None = None,
        country: str | None = None,
        reference: str | None = None,
        from_: str | None = None,
        until: str | None = None,
    ) -> dict[str, Any]:
        """Return messages, the newest first."""
        begins = [_read_time(text, name) for text, name in ((since, "since"), (from_, "from")) if text is not None]
        chosen = {
            "receiver_hash": None if receiver is None else self.gateway.hash(self._receiver(receiver)),
            "template": template,
            "provider": provider,
            "state": state,
            "country": country,
            "reference": reference,
        }
        until_ms = None if until is None else _read_time(until, "until")
        times = {"from_ms": max(begins, default=None), "until_ms": until_ms}
        return self._page("messages", describe_message, MESSAGES, chosen, cursor, limit, **times)

    def cancel_sms(self, sms_id: str) -> dict[str, Any]:
        """Cancel the messages that were not sent yet, and return their request."""
        found = self.gateway.cancel(min(int(sms_id), MAX_ID))
        counts = {"canceled": found.canceled, "too_late": found.too_late}
        return {**self.get_request(str(found.request)), **counts}

    def get_statistics(
        self, media_type: str, from_: str | None = None, until: str | None = None, group: str | None = None
    ) -> Response:
        """Return figures by day, template, provider, country and state, as JSON or CSV."""
        query = read_statistics_query(from_, until, group, self.gateway.clock.now_ms())
        figures = self.gateway.statistics.figures(query)
        if media_type == "text/csv":
            return Response(as_csv(query, figures), 200, content_type="text/csv; charset=utf-8")
        days = {"from": day_text(query.from_day), "until": day_text(query.until_day)}
        return _json({**days, "group": list(query.groups), "statistics": figures})

    def list_opt_outs(self, receiver: str | None = None, limit: int = 100, cursor: str | None = None) -> dict[str, Any]:
        """Return the numbers that get no marketing messages, the newest first."""
        number = None if receiver is None else self._receiver(receiver)
        return self._page("opt_outs", describe_opt_out, OPT_OUTS, {"receiver": number}, cursor, limit)

    def add_opt_out(self, body: Any) -> Response:
        """Add a number to the opt-outs: 201, or 200 if it is there already."""
        number = self._number(body["receiver"], "/receiver")
        item = OptOut(number, "api", None, self.gateway.clock.now_ms())
        is_new = self.gateway.writer.run(opt_out, item)
        [row] = self.gateway.records.newest(OPT_OUTS, {"receiver": number.e164}, limit=1)
        return _json(describe_opt_out(row), 201 if is_new else 200)

    def remove_opt_out(self, receiver: str) -> Response:
        """Remove a number from the opt-outs."""
        if not self.gateway.writer.run(opt_in, self._receiver(receiver)):
            raise Problem(404, "the number has not opted out")
        return Response(status=204)

    def list_inbound(self, receiver: str | None = None, limit: int = 100, cursor: str | None = None) -> dict[str, Any]:
        """Return the messages that people sent to our numbers, the newest first."""
        sender = None if receiver is None else self.gateway.hash(self._receiver(receiver))
        return self._page("messages", describe_inbound, INBOUND, {"sender_hash": sender}, cursor, limit)

    def post_inbound(self, caller: Caller) -> Response:
        """Take the inbound messages of a provider that proves itself, or knows a path token."""
        assert caller.request is not None  # both security schemes of these operations verify the request
        self.gateway.take_inbound(caller.id, self.inbound.read(caller.request))
        return self.inbound.response(caller.id)

    post_inbound_with_token = post_inbound

    def list_templates(self) -> dict[str, Any]:
        """Return the templates."""
        rules = self.gateway.rules
        return {
            "templates": [
                {
                    "name": one.name,
                    "params": list(one.params),
                    "otp": one.otp,
                    "kind": one.kind,
                    "text": one.text or None,
                    "providers": list(rules.carriers[one.name]),
                }
                for one in rules.templates.values()
            ]
        }

    def list_providers(self) -> dict[str, Any]:
        """Return the providers, with their circuits and calls."""
        return {"providers": describe_providers(self.gateway)}

    def take_provider_out(self, caller: Caller, provider: str) -> dict[str, Any]:
        """Give a provider no messages until it is put back."""
        return self._turn_provider(caller, provider, is_out=True)

    def put_provider_back(self, caller: Caller, provider: str) -> dict[str, Any]:
        """Give a provider its whole share again."""
        return self._turn_provider(caller, provider, is_out=False)

    def post_receipt(self, caller: Caller) -> Response:
        """Take the delivery reports of a provider that proves itself, or knows a path token."""
        assert caller.request is not None  # both security schemes of these operations verify the request
        self.gateway.take_receipts(caller.id, self.receipts.read(caller.request))
        return self.receipts.response(caller.id)

    post_receipt_with_token = post_receipt

    def send_otp(self, caller: Caller, body: Any, idempotency_key: str | None = None) -> Response:
        """Make a one-time password and send it."""
        code = make_code(self.gateway.settings.sms_code_digits)
        wanted = read_otp(body, self.gateway.rules, code)
        client = wanted.client or ("" if caller.id else caller.address)
        accepted = self.gateway.submit(wanted, caller.id, idempotency_key, code, client)
        return _json(
            {
                "message": "accepted",
                "id": str(accepted.row),
                "receiver": wanted.receivers[0].shown,
                "expires_in": round(float(self.gateway.settings.sms_code_expires)),
                "tries_left": self.gateway.settings.sms_code_tries,
            },
            202,
            {} if accepted.is_new else {"Idempotency-Replayed": "true"},
        )

    def verify_otp(self, body: Any) -> dict[str, Any]:
        """Check a one-time password."""
        verdict = self.gateway.verify(*read_verify(body, self.gateway.rules))
        if not verdict.is_verified:
            extra = {"verified": False, "tries_left": verdict.tries_left}
            raise Problem(422, "the code is not right, or is not good any more", title="Not verified", extra=extra)
        return {"verified": True}

    def _answer(self, row: int, *, is_new: bool, is_done: bool) -> Response:
        found = self.gateway.records.request(row)
        assert found is not None
        rows = found[1]
        word = _summary([one.state for one in rows]) if is_done else "accepted"
        first = "queued" if found[0].send_at is None else "scheduled"
        messages = [_describe_outcome(one) if is_done else {**_describe(one), "state": first} for one in rows]
        document = {"message": word, "id": str(row), "messages": messages}
        if word == "failed":
            raise Problem(502, f"no provider took it: {rows[0].code or 'no reason'}", title="Not sent", extra=document)
        headers = {} if is_new else {"Idempotency-Replayed": "true"}
        return _json(document, 200 if is_done and word != "accepted" else 202, headers)

    def _turn_provider(self, caller: Caller, provider: str, *, is_out: bool) -> dict[str, Any]:
        try:
            return turn_provider(self.gateway, provider, caller.id, is_out=is_out)
        except Missing as error:
            raise Problem(404, error.why) from error

    def _page(
        self,
        name: str,
        describe: Callable[[Any], dict[str, Any]],
        table: Table,
        chosen: Mapping[str, Any],
        cursor: str | None,
        limit: int,
        **times: int | None,
    ) -> dict[str, Any]:
        before = None if cursor is None else min(int(cursor), MAX_ID)
        rows = self.gateway.records.newest(table, chosen, before=before, limit=limit + 1, **times)
        more = str(rows[limit - 1].id) if len(rows) > limit else None
        return {name: [describe(row) for row in rows[:limit]], "next": more}

    def _receiver(self, text: str) -> str:
        bare = text.strip()
        has_lost_plus = text.startswith(" ") or len(bare) > 11  # a plus that was not encoded is a blank
        return self._number(f"+{bare}" if has_lost_plus and bare[:1].isdigit() else bare, "/query/receiver").e164

    def _number(self, text: str, pointer: str) -> Number:
        try:
            return parse_number(text, self.gateway.rules.numbers.of_look_ups)
        except InvalidInput as error:
            raise InvalidInput("the receiver cannot be read", error.why, "", [Fault(pointer, error.why)]) from error


def describe_opt_out(row: Any) -> dict[str, Any]:
    """Return the JSON document of an opt-out, with its number masked."""
    return {
        "id": str(row.id),
        "receiver": row.receiver_shown,
        "reason": row.reason,
        "provider": row.provider,
        "at": render_time(row.at),
    }


def describe_inbound(row: Any) -> dict[str, Any]:
    """Return the JSON document of an inbound message, with its sender masked."""
    return {
        "id": str(row.id),
        "provider": row.provider,
        "sender": row.sender_shown,
        "receiver": row.receiver,
        "text": row.text,
        "keyword": row.keyword,
        "at": render_time(row.at),
    }


def _describe(row: Any) -> dict[str, Any]:
    return {"id": str(row.id), "receiver": row.receiver_shown, "state": row.state}


def _describe_outcome(row: Any) -> dict[str, Any]:
    why = {"provider_code": row.code, "provider_message": row.words} if row.state == "failed" else {}
    return {**_describe(row), "provider": row.provider, **why}


def _summary(states: Sequence[str]) -> str:
    """Return the one word for the states of a request's messages."""
    if any(state in OPEN for state in states):
        return "accepted"
    if all(is_handed_over(state) for state in states):
        return "sent"
    if all(state in FAILED for state in states):
        return "failed"
    return states[0] if len(set(states)) == 1 else "partly sent"


def _read_time(text: str, name: str) -> int:
    try:
        return parse_query_time(text)
    except ValueError as error:
        faults = [Fault(f"/query/{name}", str(error))]
        raise InvalidInput(f"`{name}` cannot be read", str(error), "", faults) from error


def _json(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, content_type=_JSON)
