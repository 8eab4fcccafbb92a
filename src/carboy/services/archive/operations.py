"""The operations of `openapi.yaml`, by their operationId."""

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson
from flask import Response

from carboy.api import Caller, RawRequest
from carboy.clock import Clock
from carboy.errors import Fault, InvalidInput, Missing
from carboy.http_values import parse_query_time
from carboy.problems import Problem
from carboy.services.archive.admission import Admission
from carboy.services.archive.alerts import parse_alerts
from carboy.services.archive.destinations.expressions import compile_expression
from carboy.services.archive.intake import Acceptance, alert_item
from carboy.services.archive.items import Item, NewItem, TimeRange
from carboy.services.archive.object_keys import stored_id
from carboy.services.archive.objects import ObjectUnavailable
from carboy.services.archive.queries import Expired, Page, facts, is_json, stream
from carboy.services.archive.sources import SMS, THREATSTACK

_JSON = "application/json"
_NDJSON = "application/x-ndjson"


class Accepts(Protocol):
    """Keeps what was sent: `Acceptor` in rows, `QueueAcceptor` in messages."""

    def accept(self, items: Sequence[NewItem], ids: Sequence[str], wait_s: float = 0.0) -> Acceptance:
        """Put items on stable storage; `Unreachable` where that cannot be done."""
        ...


class Reads(Protocol):
    """Reads back what is archived: `Reader` by the index, `Listing` by the keys of objects."""

    def one(self, source: str, item_id: str) -> tuple[Item, bytes]:
        """Return the newest version of an id and its bytes; `Missing` where it cannot be found."""
        ...

    def page(self, span: TimeRange, limit: int, cursor: str | None) -> Page:
        """Return the items of a time range, oldest first, and the cursor of the next page."""
        ...

    def has(self, source: str) -> bool:
        """Return whether anything of a source is archived."""
        ...

    def check_cursor(self, cursor: str) -> None:
        """Raise `InvalidInput` for a cursor that was not issued here."""
        ...


class ArchiveOperations:
    """What the archive answers.

    Args:
        admission: knows the sources.
        acceptor: keeps what they bring.
        reader: reads it back.
        replay: has an alert archived again, given its id; False where it is known that none was ever accepted.
        status: reports the state of the upstreams.
        fetches: whether full alerts are fetched.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        acceptor: Accepts,
        reader: Reads,
        replay: Callable[[str], bool],
        status: Callable[[], tuple[bool, dict[str, Any]]],
        clock: Clock,
        fetches: bool,
    ) -> None:
        self._admission, self._acceptor, self._reader = admission, acceptor, reader
        self._replay, self._status = replay, status
        self._clock, self._fetches = clock, fetches

    def post_alert(self, caller: Caller, body: bytes, wait: float = 0.0) -> Response:
        """Keep the alerts of a Threat Stack webhook, or of an SNS message."""
        request = caller.request
        if request is None:  # an API key authorised it, not the source's own scheme
            request = RawRequest("POST", "", {}, body, caller.address)
            self._admission.admit(THREATSTACK, request)
        return self._keep_alerts(request, wait)

    def post_webhook(self, caller: Caller, wait: float = 0.0) -> Response:
        """Keep a webhook of a source that proves itself."""
        return self._keep_webhook(caller, wait)

    def post_webhook_with_token(self, caller: Caller, wait: float = 0.0) -> Response:
        """Keep a webhook of a source that knows a path token."""
        return self._keep_webhook(caller, wait)

    def get_alert(self, alert_id: str) -> Response:
        """Return one alert."""
        item, body = self._one(THREATSTACK, alert_id)
        if body is None:
            return _json({"success": True, "alert": None, "detail": "expired", "webhook": facts(item)})
        more = {} if item.detail == "kept" else {"detail": item.detail}
        return _json({"success": True, "alert": orjson.Fragment(body), **more})

    def get_webhook(self, source: str, token: str) -> Response:
        """Return one webhook of a source; its id stands where other calls have the token."""
        self._check_readable(source)
        if source == THREATSTACK:
            return self.get_alert(token)
        item, body = self._one(source, stored_id(token))
        if body is None:
            return _json({"success": True, "alert": None, "detail": "expired", "webhook": facts(item)})
        if is_json(body):
            return _json({"success": True, "alert": orjson.Fragment(body), "webhook": facts(item)})
        plain = base64.b64encode(body).decode()
        return _json({"success": True, "alert": None, "webhook": {**facts(item), "body_base64": plain}})

    def list_alerts(
        self,
        start: str,
        end: str,
        limit: int = 100,
        cursor: str | None = None,
        severity: str | None = None,
        organization_id: str | None = None,
        source: str | None = None,
        media_type: str | None = None,
    ) -> Response:
        """Return the alerts of a range of time."""
        return self._list(THREATSTACK, (start, end), limit, cursor, media_type, (severity, organization_id, source))

    def list_webhooks(
        self,
        source: str,
        start: str,
        end: str,
        limit: int = 100,
        cursor: str | None = None,
        type: str | None = None,  # noqa: A002 (the parameter's name)
        id: str | None = None,  # noqa: A002
        filter: str = "",  # noqa: A002
        media_type: str | None = None,
    ) -> Response:
        """Return the webhooks of a source in a range of time."""
        self._check_readable(source)
        if filter:
            _check_filter(filter)
        prefix = id if id is None or source == THREATSTACK else stored_id(id)
        return self._list(source, (start, end), limit, cursor, media_type, (None, None, None, type, prefix, filter))

    def replay_alert(self, alert_id: str) -> Response:
        """Have an alert fetched and archived again."""
        if not self._replay(alert_id):
            raise Problem(404, "no alert of that id was ever accepted")
        return _json({"success": True, "id": alert_id}, 202)

    def get_status(self) -> Response:
        """Report whether the object store and the Threat Stack API answer."""
        is_well, document = self._status()
        return _json({"success": is_well, **document}, 200 if is_well else 503)

    def _keep_alerts(self, request: RawRequest, wait_s: float) -> Response:
        with self._admission.refusing(THREATSTACK, request):
            alerts = parse_alerts(request.body)
        items = [alert_item(alert, fetches=self._fetches) for alert in alerts]
        acceptance = self._acceptor.accept(items, [alert.id for alert in alerts], wait_s)
        self._admission.kept(THREATSTACK, acceptance)
        return _answer(acceptance)

    def _keep_webhook(self, caller: Caller, wait_s: float) -> Response:
        request: RawRequest | None = caller.request
        assert request is not None  # both security schemes of these operations verify the request
        if caller.id == THREATSTACK:
            return self._keep_alerts(request, wait_s)
        source = self._admission.source(caller.id)
        if not source.wants(request):
            return _answer(Acceptance((), 0), ignored=1)
        now_ms = self._clock.now_ms()
        with self._admission.refusing(source.name, request):
            found = source.items(request, now_ms)
        acceptance = self._acceptor.accept([item for _, item in found], [event_id for event_id, _ in found], wait_s)
        self._admission.kept(source.name, acceptance)
        answer = source.config.answer
        if answer is None:
            return _answer(acceptance)
        body = re.sub(r"\{(?:header:([\w-]+)|now_ms)\}", lambda one: _filled(one[1], request, now_ms), answer.body)
        value = request.headers.get(answer.echo.lower(), "") if answer.echo else ""
        echoed = {answer.echo: value} if value.isascii() and value else {}  # no other text can stand in a header
        return Response(body, answer.status, echoed, content_type=answer.content_type)

    def options_webhook(self, source: str, web_hook_request_origin: str | None = None) -> Response:
        """Consent to the webhooks of CloudEvents: this address wants them, at any rate."""
        self._admission.source(source)
        headers = {"Allow": "GET, HEAD, OPTIONS, POST"}
        if web_hook_request_origin:
            headers |= {"WebHook-Allowed-Origin": web_hook_request_origin, "WebHook-Allowed-Rate": "*"}
        return Response(b"", 200, headers, content_type="text/plain")

    def options_webhook_with_token(
        self, source: str, token: str, web_hook_request_origin: str | None = None
    ) -> Response:
        """Consent likewise at the address that has a path token, which must be right."""
        self._admission.check_token(self._admission.source(source), token)
        return self.options_webhook(source, web_hook_request_origin)

    def _check_readable(self, source: str) -> None:
        """Raise a 404 `Problem` for a name that is no source and was none; what one has sent stays after its table."""
        try:
            self._admission.source(source)
        except Problem:
            if source == SMS or not self._reader.has(source):
                raise

    def _one(self, source: str, item_id: str) -> Any:
        """Return an item with its bytes; None for the bytes if its object was removed."""
        try:
            return self._reader.one(source, item_id)
        except Expired as error:
            return error.item, None
        except Missing as error:
            raise Problem(404, error.why) from error
        except ObjectUnavailable as error:
            raise Problem(409, f"{error.why}; {error.hint}") from error

    def _list(
        self,
        source: str,
        times: tuple[str, str],
        limit: int,
        cursor: str | None,
        media_type: str | None,
        filters: tuple[Any, ...] = (),
    ) -> Response:
        faults: list[Fault] = []
        start_ms, end_ms = (_read_time(name, text, faults) for name, text in zip(("start", "end"), times, strict=True))
        if cursor:
            try:
                self._reader.check_cursor(cursor)
            except InvalidInput as error:
                faults.extend(error.faults)
        if not faults and start_ms > end_ms:
            faults.append(Fault("end", "it is before `start`"))
        if faults:
            why = "; ".join(f"{one.pointer}: {one.detail}" for one in faults)
            raise InvalidInput("the range cannot be read", why, "", faults)
        span = TimeRange(source, start_ms, end_ms, *filters)
        if media_type == _NDJSON:
            return Response(stream(self._reader.page, span, cursor), content_type=_NDJSON)
        found, following = self._reader.page(span, limit, cursor)
        members = [
            b'"alerts":[' + b",".join(one.document for one in found) + b"]",
            b'"next":' + orjson.dumps(following),
        ]
        if source != THREATSTACK:
            members.insert(1, b'"webhooks":' + orjson.dumps([facts(one.item) for one in found]))
        return Response(b'{"success":true,' + b",".join(members) + b"}", content_type=_JSON)


def _check_filter(text: str) -> None:
    try:
        compile_expression(text)
    except ValueError as error:
        raise InvalidInput("`filter` cannot be used", f"it {error}", "", [Fault("filter", f"it {error}")]) from error


def _read_time(name: str, text: str, faults: list[Fault]) -> int:
    """Return a time of the query in milliseconds; what is wrong with it goes to the faults."""
    try:
        return parse_query_time(text)
    except ValueError as error:
        faults.append(Fault(name, str(error)))
        return 0


def _filled(header: str | None, request: RawRequest, now_ms: int) -> str:
    """Return what a place in the body of an answer is replaced by; a header as it can stand in a JSON string."""
    return str(now_ms) if header is None else orjson.dumps(request.headers.get(header.lower(), "")).decode()[1:-1]


def _answer(acceptance: Acceptance, **more: Any) -> Response:
    return _json(acceptance.document(**more), 202 if acceptance.archived is None else 200)


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, content_type=_JSON)
