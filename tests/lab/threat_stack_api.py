"""What the stand-in for the Threat Stack API answers: values in, values out, nothing touches the network.

Sources: the public clients' use of API version 1; F5 Distributed Cloud AIP API version 2; the Hawk scheme,
github.com/mozilla/hawk, API.md.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

from carboy.testing.answers import Answer, Cut, Request, Stall, Step, come_back_later, json_answer

__all__ = ["Control", "ThreatStackApi", "hawk_mac", "invent_alert", "invent_alert_id", "invent_webhook"]

_SKEW_S = 60
_PAGE = 100
_VERSIONS = {"/api/v1": "v1", "/v2": "v2"}


@dataclass(frozen=True, slots=True)
class Control:
    """How the fake Threat Stack API behaves; each field can be set alone.

    Attributes:
        latency_s: how long each answer takes.
        fault: what goes wrong: a status (429, 500, 401, 403, 404, …), `stall`, `cut` or `reset`; None for nothing.
        fault_calls: for how many calls; 0 without `fault_s` is until the next change.
        fault_s: for how many seconds from now.
        retry_after_s: what a 429 or 503 asks for; None leaves the header out.
        retry_after_is_date: say it as a date.
        unreadable_calls: how often a fresh id is answered 404 before it can be read.
        missing_ids: ids that do not exist, ever.
        rate_per_s: its own limit, answered 429 above; 0 for none.
        api_key: the key of version 1 and the Hawk key of version 2.
        user_id: the Hawk id of version 2.
        organization_id: the Hawk `ext` of version 2.
    """

    latency_s: float = 0.0
    fault: int | Literal["stall", "cut", "reset"] | None = None
    fault_calls: int = 0
    fault_s: float = 0.0
    retry_after_s: int | None = 1
    retry_after_is_date: bool = False
    unreadable_calls: int = 0
    missing_ids: Sequence[str] = ()
    rate_per_s: float = 0.0
    api_key: str = "test-api-key"
    user_id: str = "57b6f2c2a907346eccb84001"
    organization_id: str = "545d0293b620cd090d000023"


class ThreatStackApi:
    """The API as a function from request to step, with a memory.

    Attributes:
        control: how it behaves now.
        calls: how often each alert id was asked for.
        statuses: how often each outcome was given: a status, or the name of a fault, as text.
        alerts: what the lists hold: (created_at in ms, id), in order of time.
    """

    def __init__(
        self,
        control: Control = Control(),
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control: Control = control
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.alerts: list[tuple[int, str]] = []
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._nonces: set[str] = set()
        self._begin_fault()
        self._fill_bucket()

    def tell(self, **changes: Any) -> None:
        """Change fields of `control`; setting a fault again resets its count and time.

        Raises:
            ValueError: there is no such field.
        """
        unknown = set(changes) - {field.name for field in fields(Control)}
        if unknown:
            raise ValueError(f"no such control: {', '.join(sorted(unknown))}")
        if "fault" in changes:
            changes = {"fault_calls": 0, "fault_s": 0.0, **changes}
        self.control = replace(self.control, **changes)
        if "fault" in changes:
            self._begin_fault()
        if "rate_per_s" in changes:
            self._fill_bucket()

    def forget(self) -> None:
        """Reset: no alerts, no counts, no nonces, and the default behaviour."""
        self.calls.clear()
        self.statuses.clear()
        self.alerts.clear()
        self._nonces.clear()
        self.control = Control()
        self._begin_fault()
        self._fill_bucket()

    def add_alerts(self, count: int, start_ms: int, every_ms: int = 60_000) -> list[str]:
        """Invent alerts for the lists, one every so often from a time on, and return their ids."""
        ids = []
        for number in range(count):
            at_ms = start_ms + number * every_ms
            ids.append(invent_alert_id(at_ms, number))
            insort(self.alerts, (at_ms, ids[-1]))
        return ids

    def answer(self, request: Request) -> Step:
        """Say what a request gets, and count it."""
        step = self._decide(request)
        match step:
            case Answer():
                self.statuses[str(step.status)] += 1
                return replace(step, delay_s=self.control.latency_s) if self.control.latency_s else step
            case Stall():
                self.statuses["stall"] += 1
            case _:
                self.statuses["cut"] += 1
        return step

    def _begin_fault(self) -> None:
        self._fault_calls_left = self.control.fault_calls
        self._fault_until_s = self._monotonic_s() + self.control.fault_s

    def _fill_bucket(self) -> None:
        self._tokens, self._filled_at_s = max(1.0, self.control.rate_per_s), self._monotonic_s()

    def _decide(self, request: Request) -> Step:
        base, _, rest = request.path.partition("/alerts")
        alert_id = rest.removeprefix("/")
        if alert_id:
            self.calls[alert_id] += 1
        if (fault := self._fault()) is not None:
            return fault
        version = _VERSIONS.get(base)
        if version is None or request.method != "GET" or not re.fullmatch("(/[^/]+)?", rest):
            return _error(404, "no such resource")
        if not (self._knows_key(request) if version == "v1" else self._knows_hawk(request)):
            return _error(401, "the credentials are not valid")
        if not self._is_within_rate():
            return self._come_back_later(429)
        if alert_id:
            return self._detail(version, alert_id)
        return self._list_v1(request) if version == "v1" else self._list_v2(request)

    def _fault(self) -> Step | None:
        control = self.control
        if control.fault is None:
            return None
        if control.fault_calls:
            if self._fault_calls_left == 0:
                return None
            self._fault_calls_left -= 1
        elif control.fault_s and self._monotonic_s() >= self._fault_until_s:
            return None
        match control.fault:
            case "stall":
                return Stall()
            case "cut":
                return Cut("body")
            case "reset":
                return Cut("start", reset=True)
            case 429 | 503:
                return self._come_back_later(control.fault)
            case status:
                return _error(status, "told to fail")

    def _come_back_later(self, status: int) -> Answer:
        control = self.control
        answer = _error(status, "too many requests")
        headers = {**answer.headers, "x-rate-limit-remaining": "0"}
        if control.retry_after_s is not None:
            later = come_back_later(status, control.retry_after_s, control.retry_after_is_date, self._wall_s())
            headers.update(later.headers)
        return replace(answer, headers=headers)

    def _is_within_rate(self) -> bool:
        if (rate := self.control.rate_per_s) <= 0:
            return True
        now = self._monotonic_s()
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._filled_at_s) * rate)
        self._filled_at_s = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _knows_key(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), self.control.api_key.encode())

    def _knows_hawk(self, request: Request) -> bool:
        """Verify a Hawk header: id, ext, time within 60 s, a nonce never seen, and the MAC."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        control = self.control
        if scheme != "Hawk" or given.get("id") != control.user_id or given.get("ext") != control.organization_id:
            return False
        stamp, nonce = given.get("ts", ""), given.get("nonce", "")
        if not stamp.isdigit() or abs(int(stamp) - self._wall_s()) > _SKEW_S or not nonce or nonce in self._nonces:
            return False
        host, _, port = request.headers.get("host", "").partition(":")
        expected = hawk_mac(
            control.api_key,
            stamp=stamp,
            nonce=nonce,
            method=request.method,
            target=request.target,
            host=host,
            port=port or "80",
            payload_hash=given.get("hash", ""),
            ext=given["ext"],
        )
        if not hmac.compare_digest(expected.encode(), given.get("mac", "").encode()):
            return False
        self._nonces.add(nonce)
        return True

    def _detail(self, version: str, alert_id: str) -> Answer:
        if alert_id in self.control.missing_ids or self.calls[alert_id] <= self.control.unreadable_calls:
            return _error(404, "no such alert")
        return json_answer(invent_alert(alert_id) if version == "v1" else invent_alert_v2(alert_id))

    def _list_v1(self, request: Request) -> Answer:
        query = request.query
        try:
            start, end = _parse_time(query.get("start", "0")), _parse_time(query.get("end", "9999-12-31"))
            page, count = int(query.get("page", "0")), int(query.get("count", str(_PAGE)))
        except ValueError as error:
            return _error(400, str(error))
        found = self.alerts[bisect_left(self.alerts, (start, "")) : bisect_left(self.alerts, (end, ""))]
        alerts = [invent_alert(alert_id) for _, alert_id in found[page * count : (page + 1) * count]]
        if names := [name for name in query.get("fields", "").split(",") if name]:
            alerts = [{name: alert[name] for name in names if name in alert} for alert in alerts]
        return json_answer(alerts)

    def _list_v2(self, request: Request) -> Answer:
        query = request.query
        try:
            start, end = _parse_time(query.get("from", "0")), _parse_time(query.get("until", "9999-12-31"))
            offset = int(query.get("token", "0"))
        except ValueError as error:
            return _error(400, str(error))
        found = self.alerts[bisect_left(self.alerts, (start, "")) : bisect_left(self.alerts, (end, ""))]
        alerts = [invent_alert_v2(alert_id) for _, alert_id in found]
        for name in ("severity", "ruleId"):
            if name in query:
                alerts = [alert for alert in alerts if str(alert[name]) == query[name]]
        if query.get("status", "active") != "active":
            alerts = []
        more = offset + _PAGE < len(alerts)
        return json_answer({"alerts": alerts[offset : offset + _PAGE], "token": str(offset + _PAGE) if more else None})


def hawk_mac(
    key: str,
    *,
    stamp: str,
    nonce: str,
    method: str,
    target: str,
    host: str,
    port: str,
    payload_hash: str = "",
    ext: str = "",
) -> str:
    """Return the MAC of a Hawk request header, base64.

    Args:
        key: the shared secret.
        stamp: seconds since the epoch, as sent in `ts`.
        nonce: as sent.
        method: in upper case.
        target: path and query.
        host: as in the `Host` header, without the port; any case.
        port: the port that the client connected to.
        payload_hash: as sent in `hash`; empty for none.
        ext: as sent; empty for none.
    """
    lines = ["hawk.1.header", stamp, nonce, method, target, host.lower(), port, payload_hash, ext, ""]
    digest = hmac.digest(key.encode(), "\n".join(lines).encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def invent_alert_id(at_ms: int, number: int = 0) -> str:
    """Return the id that an alert of that time would have: 24 hex digits, the first 8 its seconds (an ObjectId)."""
    return f"{at_ms // 1000:08x}" + hashlib.sha256(f"{at_ms}/{number}".encode()).hexdigest()[:16]


def invent_alert(alert_id: str) -> dict[str, Any]:
    """Return the detail of an alert as version 1 has it: always the same for the same id."""
    dice = hashlib.sha256(alert_id.encode()).digest()
    created_at = _created_ms(alert_id)
    return {
        "id": alert_id,
        "active": True,
        "agent_id": dice[:12].hex(),
        "alert_policy_id": dice[12:24].hex(),
        "count": 1 + dice[0] % 5,
        "created_at": created_at,
        "dismissed": False,
        "expires_at": created_at + 86_400_000,
        "key": f"{dice[1]:02x}|{dice[2]:02x}",
        "last_notified_at": created_at + 1000,
        "last_updated_at": created_at + 2000,
        "rule_id": dice[8:20].hex(),
        "severity": 1 + dice[3] % 3,
        "title": f"Users: Login from unexpected country (web-{dice[4] % 8} as deploy)",
        "type": "audit",
        "unread": True,
    }


def invent_alert_v2(alert_id: str) -> dict[str, Any]:
    """Return the detail of an alert as version 2 has it."""
    old = invent_alert(alert_id)
    created_at = datetime.fromtimestamp(old["created_at"] / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "id": alert_id,
        "title": old["title"],
        "type": old["type"],
        "createdAt": created_at.replace("+00:00", "Z"),
        "isDismissed": False,
        "severity": old["severity"],
        "agentId": old["agent_id"],
        "ruleId": old["rule_id"],
        "aggregates": {"count": old["count"]},
    }


def invent_webhook(*alert_ids: str) -> bytes:
    """Return the body of the webhook that announces alerts: a summary of each, all fields strings, as in practice."""
    alerts = [
        {
            "id": alert["id"],
            "title": alert["title"],
            "created_at": str(alert["created_at"]),
            "severity": str(alert["severity"]),
            "organization_id": Control().organization_id,
            "server_or_region": alert["title"].split("(")[1].split(" ")[0],
            "source": "Host",
        }
        for alert in map(invent_alert, alert_ids)
    ]
    return json.dumps({"alerts": alerts}).encode()


def _created_ms(alert_id: str) -> int:
    """Return the time in an ObjectId's first 8 digits; a fixed one for any other id."""
    if re.fullmatch(r"[0-9a-f]{24}", alert_id):
        return int(alert_id[:8], 16) * 1000
    return 1_484_661_060_000


def _parse_time(text: str) -> int:
    """Return milliseconds since the epoch from digits or ISO 8601 (UTC where no offset is said)."""
    if text.isdigit():
        return int(text)
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _error(status: int, message: str) -> Answer:
    return json_answer({"status": status, "message": message}, status)
