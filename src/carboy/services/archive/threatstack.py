"""The Threat Stack API, versions 1 and 2: an alert's detail as it is, and lists to fill gaps from.

Source: app.threatstack.com/api/docs (version 1), apidocs.threatstack.com (version 2). What a job should do about an
error is the job's affair: only lists are tried again here, by page.
"""

import base64
import hmac
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from carboy.clock import SYSTEM_CLOCK, Clock, from_unix_ms
from carboy.errors import (
    ConfigurationError,
    Fault,
    InvalidInput,
    Missing,
    Refused,
    Throttled,
    Unreachable,
    UpstreamError,
)
from carboy.http_values import parse_retry_after
from carboy.nesting import is_deeper
from carboy.net import Limits, Reply, fetch, make_session, prepare_call
from carboy.retry import Failure, GiveUp, Retry, next_step
from carboy.services.archive.object_keys import MAX_CREATED_AT_MS, is_alert_id
from carboy.services.archive.pacer import Pacer

if TYPE_CHECKING:
    from carboy.net import Session

_PAGE = 100
_MAX_DEPTH = 128
_LONGEST_PAUSE_S = 60.0
_TOKEN = re.compile(r"[!#-\[\]-~]{1,512}")  # visible ASCII without quotes and backslashes: safe in a header
_URL = re.compile(r"https?://[^/?#@\s]+(?:/[^?#\s]*)?")


class _Detail(msgspec.Struct):
    id: str


class _ListedAlert(msgspec.Struct):
    id: str
    created_at: Any = None
    createdAt: Any = None  # noqa: N815 (version 2's name)


class _Page(msgspec.Struct):
    alerts: list[msgspec.Raw]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One alert of a list.

    Attributes:
        id: safe in a key.
        created_at_ms: milliseconds since the epoch; the start of the range that was asked for where nothing is said.
        raw: the bytes of this alert.
    """

    id: str
    created_at_ms: int
    raw: bytes


class ThreatStack:
    """A client that any number of threads may share; it keeps its connections, and to a rate.

    Args:
        base_url: of the API, with its version's path.
        api_key: version 1 sends it bare, version 2 signs with it.
        version: 1 or 2.
        user_id: whose key it is; version 2 needs it.
        organization_id: version 2 needs it, version 1 takes it.
        bucket: limits the rate of calls; None for no limit. It is paused while the API answers with `Retry-After`.
        patience_s: how long a call waits for its turn; when that is not enough it raises `Throttled` at once.
        limits: of one answer.
        pool_size: connections that are kept; as many as there are threads.
        ping_ttl_s: how long the result of `ping` is good for.
        retry: how a page of a list is tried again.
        session: sends the requests, in the place of one of our own.
        clock: for all that has to do with time.

    Raises:
        ConfigurationError: an argument cannot be used; all that cannot.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        version: int = 1,
        user_id: str = "",
        organization_id: str = "",
        bucket: Pacer | None = None,
        patience_s: float = 5.0,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        pool_size: int = 16,
        ping_ttl_s: float = 60.0,
        retry: Retry = Retry(attempts=6, base_s=2.0, cap_s=60.0),  # noqa: B008 (frozen)
        session: "Session | None" = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _check(base_url, api_key, version, user_id, organization_id)
        self._base_url, self._version = base_url.rstrip("/"), version
        self._api_key, self._user_id, self._organization_id = api_key, user_id, organization_id
        self._bucket, self._patience_s = bucket, patience_s
        self._limits, self._retry, self._clock = limits, retry, clock
        self._session = session or make_session(self._base_url, pool_size, clock=clock)
        self._common = prepare_call(self._session, "GET", self._base_url)
        self._ping_ttl_s = ping_ttl_s
        self._last_error: Refused | Unreachable | None = None
        self._ping_lock = threading.Lock()
        self._pinged: tuple[float, float | UpstreamError] | None = None  # when, and how long it took or what was wrong

    def __repr__(self) -> str:
        return f"ThreatStack({self._base_url!r}, version={self._version})"

    def fetch(self, alert_id: str) -> bytes:
        """Return the detail of an alert, the very bytes of the answer.

        Raises:
            InvalidInput: the id is not valid.
            Missing: there is no such alert, or not yet.
            Refused: the key is not accepted, or the address is wrong.
            Throttled: the API, or our own rate, asks to come back later.
            Unreachable: no whole answer that is this alert's.
        """
        if not is_alert_id(alert_id):
            detail = "must be 1 to 128 characters of [A-Za-z0-9_-]"
            raise InvalidInput("the alert could not be fetched", f"`id` {detail}", "check it", [Fault("id", detail)])
        what = f"the alert `{alert_id}` could not be fetched"
        try:
            body = self._get(f"/alerts/{alert_id}", what).body
        except Missing:
            self._last_error = None  # it answered
            raise
        except (Refused, Unreachable) as error:
            self._last_error = error
            raise
        self._last_error = None
        if _read(_Detail, body, what).id != alert_id:
            raise Unreachable(what, "the API answered with another alert", "it is tried again")
        return body

    def list(self, start_ms: int, end_ms: int) -> Iterator[Listed]:
        """Yield the alerts with `start_ms <= created_at < end_ms`, page by page, each page tried again when it fails.

        Version 2 lists active and dismissed alerts one after the other. An alert may come twice.

        Raises:
            UpstreamError: a page could not be had, however often it was tried; what came before it was yielded.
        """
        pages = self._pages_v1(start_ms, end_ms) if self._version == 1 else self._pages_v2(start_ms, end_ms)
        for page in pages:
            yield from (alert for alert in page if start_ms <= alert.created_at_ms < end_ms)

    def check_last(self) -> None:
        """Raise what the last fetch of this process failed with; nothing is asked."""
        if (error := self._last_error) is not None:
            raise type(error)(*error.args) from error

    def ping(self) -> float:
        """Return the seconds that the API took to answer when it was last asked, at most `ping_ttl_s` ago.

        Any number of probes cost one call in that time.

        Raises:
            UpstreamError: it did not answer rightly then.
        """
        with self._ping_lock:
            now_s = self._clock.monotonic_s()
            if self._pinged is None or now_s - self._pinged[0] >= self._ping_ttl_s:
                self._pinged = (now_s, self._ping())
            found = self._pinged[1]
        if isinstance(found, UpstreamError):
            raise type(found)(*found.args) from found
        return found

    def _ping(self) -> float | UpstreamError:
        now_ms = self._clock.now_ms()
        began_s = self._clock.monotonic_s()
        query = {**self._range(now_ms, now_ms), **({"page": "0", "count": "1"} if self._version == 1 else _ACTIVE)}
        try:
            self._page(query)
        except UpstreamError as error:
            return error
        return self._clock.monotonic_s() - began_s

    def _pages_v1(self, start_ms: int, end_ms: int) -> Iterator[Sequence[Listed]]:
        """Yield pages until one is empty, or brings nothing that the one before it did not."""
        before: set[str] = set()
        number = 0
        while True:
            query = {**self._range(start_ms, end_ms), "page": str(number), "count": str(_PAGE)}
            page = [_listed(raw, start_ms) for raw in self._patient_page(query).alerts]
            ids = {alert.id for alert in page}
            if ids <= before:
                return
            yield page
            before, number = ids, number + 1

    def _pages_v2(self, start_ms: int, end_ms: int) -> Iterator[Sequence[Listed]]:
        for status in (_ACTIVE, _DISMISSED):
            token: str | None = ""
            while token is not None:
                query = {**self._range(start_ms, end_ms), **status, **({"token": token} if token else {})}
                page = self._patient_page(query)
                yield [_listed(raw, start_ms) for raw in page.alerts]
                token = page.token if page.token and page.token != token else None

    def _range(self, start_ms: int, end_ms: int) -> dict[str, str]:
        start, end = _iso(start_ms // 1000), _iso(-(-end_ms // 1000))  # whole seconds, outwards
        return {"start": start, "end": end} if self._version == 1 else {"from": start, "until": end}

    def _patient_page(self, query: Mapping[str, str]) -> _Page:
        began_s = self._clock.monotonic_s()
        attempt = 1
        while True:
            try:
                return self._page(query)
            except (Throttled, Unreachable) as error:
                failure = Failure(True, error.retry_after_s if isinstance(error, Throttled) else 0.0)
                step = next_step(self._retry, attempt, failure, self._clock.monotonic_s() - began_s)
                if isinstance(step, GiveUp):
                    raise
                self._clock.sleep(step.seconds)
                attempt += 1

    def _page(self, query: Mapping[str, str]) -> _Page:
        what = "the list of alerts could not be fetched"
        try:
            body = self._get(f"/alerts?{urlencode(query)}", what).body
        except Missing:  # how some lists say that they are empty
            return _Page([])
        return _Page(_read(list[msgspec.Raw], body, what)) if self._version == 1 else _read(_Page, body, what)

    def _get(self, path: str, what: str) -> Reply:
        """Wait for our turn, ask, and return an answer of 200."""
        self._wait_for_turn(what)
        url = self._base_url + path
        reply = fetch(self._session, url, self._headers(url), self._limits, what=what, common=self._common)
        if reply.status == 200:
            return reply
        error = _explain(reply, what, self._clock.now_ms() / 1000)
        if isinstance(error, Throttled) and self._bucket:
            self._bucket.pause(min(max(error.retry_after_s, 1.0), _LONGEST_PAUSE_S))
        raise error

    def _wait_for_turn(self, what: str) -> None:
        if self._bucket is None:
            return
        wait_s = self._bucket.take(self._patience_s)
        if wait_s > self._patience_s:
            raise Throttled(what, f"`THREATSTACK_RATE` leaves no turn for {wait_s:.1f} s", "it is tried again", wait_s)
        if wait_s:
            self._clock.sleep(wait_s)

    def _headers(self, url: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._version == 1:
            organization = {"Organization": self._organization_id} if self._organization_id else {}
            return {**headers, **organization, "Authorization": self._api_key}
        at_s, nonce = self._clock.now_ms() // 1000, secrets.token_hex(8)
        signed = hawk_header("GET", url, self._user_id, self._api_key, self._organization_id, at_s=at_s, nonce=nonce)
        return {**headers, "Authorization": signed}


def hawk_header(method: str, url: str, user_id: str, key: str, ext: str, *, at_s: int, nonce: str) -> str:
    """Return the `Authorization` header of a request that says who sends it by a MAC over its time, method and address.

    The body is left out: only GETs are sent here.

    Args:
        method: in upper case.
        url: as it will be sent.
        user_id: whose key it is.
        key: shared with the server.
        ext: further text that is signed, such as an organization; like the others without `"`.
        at_s: the wall clock, seconds since the epoch.
        nonce: new for every request.

    Source: github.com/mozilla/hawk, API.md.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    port = parts.port or (80 if parts.scheme == "http" else 443)
    lines = ["hawk.1.header", str(at_s), nonce, method, target, parts.hostname or "", str(port), "", ext, ""]
    mac = base64.b64encode(hmac.digest(key.encode(), "\n".join(lines).encode(), "sha256")).decode()
    return f'Hawk id="{user_id}", ts="{at_s}", nonce="{nonce}", ext="{ext}", mac="{mac}"'


_ACTIVE: Mapping[str, str] = {"status": "active"}
_DISMISSED: Mapping[str, str] = {"status": "dismissed"}


def _explain(reply: Reply, what: str, now_s: float) -> UpstreamError:
    """Explain a status code to the operator."""
    status = reply.status
    why = f"the Threat Stack API answered {status}"
    retry_after_s = parse_retry_after(reply.headers.get("Retry-After"), now_s)
    if status == 404:
        return Missing(what, why, "there is no such alert, or it cannot be read yet")
    if status == 429 or (status >= 500 and retry_after_s > 0):
        return Throttled(what, why, "it is tried again; lower `THREATSTACK_RATE` if this goes on", retry_after_s)
    if status in {401, 403}:
        return Refused(what, why, "check `THREATSTACK_API_KEY` and, for version 2, the user and the organization")
    if status < 200 or status >= 500 or status in {408, 409, 425}:
        return Unreachable(what, why, "it is tried again")
    if status < 300:
        return Unreachable(what, f"{why} and no alert", "it is tried again")
    return Refused(what, why, "check `THREATSTACK_BASE_URL` and `THREATSTACK_API_VERSION`")


def _read(kind: type[Any], body: bytes, what: str) -> Any:
    try:
        body.decode()
        if is_deeper(body, _MAX_DEPTH):
            raise ValueError
        return msgspec.json.decode(body, type=kind)
    except ValueError as error:  # also of msgspec, and of text that is not UTF-8
        raise Unreachable(what, "the API's answer is not the JSON that it should be", "it is tried again") from error


def _listed(raw: msgspec.Raw, start_ms: int) -> Listed:
    alert = _read(_ListedAlert, bytes(raw), "the list of alerts could not be read")
    if not is_alert_id(alert.id):
        raise Unreachable("the list of alerts could not be read", "an id in it is not valid", "look at the address")
    at = alert.created_at if alert.created_at is not None else alert.createdAt
    at_ms = _at_ms(at)
    return Listed(alert.id, start_ms if at_ms is None else at_ms, bytes(raw))


def _at_ms(value: Any) -> int | None:
    """Return a time as the API has it, milliseconds, their digits, or ISO 8601 (UTC), in milliseconds."""
    try:
        if isinstance(value, str) and not value.isdigit():
            at = datetime.fromisoformat(value if value.endswith("Z") or "+" in value else f"{value}Z")
            at_ms = round(at.timestamp() * 1000)
        else:
            at_ms = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return at_ms if 0 <= at_ms <= MAX_CREATED_AT_MS else None


def _iso(at_s: int) -> str:
    return from_unix_ms(min(max(at_s * 1000, 0), MAX_CREATED_AT_MS)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check(base_url: str, api_key: str, version: int, user_id: str, organization_id: str) -> None:
    faults = []
    if not _URL.fullmatch(base_url):
        faults.append(Fault("threatstack_base_url", "must be http(s)://host/path"))
    if not _TOKEN.fullmatch(api_key):
        faults.append(Fault("threatstack_api_key", "must be visible ASCII"))
    if version not in {1, 2}:
        faults.append(Fault("threatstack_api_version", "must be 1 or 2"))
    for name, value in (("threatstack_user_id", user_id), ("threatstack_organization_id", organization_id)):
        if (value or version == 2) and not _TOKEN.fullmatch(value):
            faults.append(Fault(name, "is needed by version 2, as visible ASCII"))
    if faults:
        listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
        raise ConfigurationError("the Threat Stack API is set up wrong", listed, "correct these settings", faults)
