"""Statistics: messages, parts, cost, time to delivery and conversion of codes, from the daily counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import Engine, func, null, select, union_all

from carboy.csv_text import csv_lines
from carboy.errors import Fault, InvalidInput
from carboy.http_values import parse_query_time
from carboy.services.sms.daily_counts import CODE_ENTERED, DAY_MS, delay_of, delays_of
from carboy.services.sms.prices import price_of
from carboy.services.sms.tables import DAILY

Group = Literal["day", "template", "provider", "country", "state"]
GROUPS: tuple[Group, ...] = get_args(Group)
FIGURES = ("messages", "sent", "delivered", "failed", "parts", "cost", "p50_s", "p95_s", "conversion")

_SENT = frozenset({"sent", "delivered", "undelivered"})
_FAILED = frozenset({"failed", "undelivered", "expired"})
_BILLED = _SENT | {"unknown"}
_DEFAULT_DAYS = 30
_MOST_DAYS = 3660


@dataclass(frozen=True, slots=True)
class StatisticsQuery:
    """Which days, UTC, are counted, and by what.

    Attributes:
        from_day: the first, in days since the epoch.
        until_day: the day after the last.
        groups: what the figures are grouped by.
    """

    from_day: int
    until_day: int
    groups: tuple[Group, ...]


@dataclass(slots=True)
class _Sum:
    messages: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    parts: int = 0
    cost: Decimal | None = None
    otp_sent: int = 0
    entered: int = 0
    delays: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of any range of days; what they cost does not depend on how many messages there are.

    Attributes:
        engine: of the database.
        prices: of a part, by provider; see `carboy.services.sms.prices`.
        otp_templates: names of the templates whose codes are entered.
    """

    engine: Engine
    prices: Mapping[str, Any]
    otp_templates: frozenset[str]

    def figures(self, query: StatisticsQuery) -> list[dict[str, Any]]:
        """Return one row for each combination of the groups, sorted; one row if there is no group."""
        sums: dict[tuple[Any, ...], _Sum] = {}
        for row in self._rows(query):
            key = tuple(_shown(name, getattr(row, name)) for name in query.groups)
            self._add(sums.setdefault(key, _Sum()), row)
        if query.groups:  # what later reports have moved to another group leaves nothing
            sums = {key: one for key, one in sums.items() if one.messages or one.entered}
        elif not sums:
            sums[()] = _Sum()
        ordered = sorted(sums.items(), key=lambda item: tuple(str(one or "") for one in item[0]))
        return [dict(zip(query.groups, key, strict=True)) | _figures(one) for key, one in ordered]

    def _rows(self, query: StatisticsQuery) -> list[Any]:
        dimensions = [DAILY.c.template, DAILY.c.provider, DAILY.c.country, DAILY.c.state, DAILY.c.bucket]
        if "day" in query.groups:
            dimensions.append(DAILY.c.day)
        sums = (func.sum(DAILY.c.messages).label("messages"), func.sum(DAILY.c.parts).label("parts"))
        days = (DAILY.c.day >= query.from_day, DAILY.c.day < query.until_day)
        loose = select(*dimensions, *sums, null().label("delays")).where(*days, DAILY.c.delays.is_(None))
        loose = loose.group_by(*dimensions)
        packed = select(*dimensions, DAILY.c.messages, DAILY.c.parts, DAILY.c.delays)
        packed = packed.where(*days, DAILY.c.delays.is_not(None))
        with self.engine.connect() as connection:
            return list(connection.execute(union_all(loose, packed)))  # one statement, as rows are packed meanwhile

    def _add(self, total: _Sum, row: Any) -> None:
        messages, parts = int(row.messages), int(row.parts)
        if row.state == CODE_ENTERED:
            total.entered += messages
            return
        total.messages += messages
        if row.state in _SENT:
            total.sent += messages
            total.otp_sent += messages * (row.template in self.otp_templates)
        if row.state == "delivered":
            total.delivered += messages
            delays = delays_of(row.delays) if row.delays else {row.bucket: messages}
            for bucket, count in delays.items():
                total.delays[bucket] = total.delays.get(bucket, 0) + count
        if row.state in _FAILED:
            total.failed += messages
        if row.state in _BILLED and messages:
            total.parts += parts
            price = price_of(self.prices, row.provider, row.country)
            if price is not None:
                total.cost = (total.cost or Decimal(0)) + price * parts


def read_statistics_query(
    from_text: str | None, until_text: str | None, group: str | None, now_ms: int
) -> StatisticsQuery:
    """Return the query that the parameters of the API and the command line mean.

    Args:
        from_text: a date, or a time with an offset, whose day is the first; by default 30 days are counted.
        until_text: likewise the day after the last; by default tomorrow.
        group: names with commas.
        now_ms: the time.

    Raises:
        InvalidInput: with every fault.
    """
    faults: list[Fault] = []
    until_day = _read_day(until_text, "until", faults)
    until_day = now_ms // DAY_MS + 1 if until_day is None else until_day
    from_day = _read_day(from_text, "from", faults)
    from_day = until_day - _DEFAULT_DAYS if from_day is None else from_day
    if not faults and not 0 < until_day - from_day <= _MOST_DAYS:
        faults.append(Fault("/query/until", f"it must be after `from`, by at most {_MOST_DAYS} days"))
    groups = tuple(dict.fromkeys(one.strip() for one in (group or "").split(",") if one.strip()))
    faults += [Fault("/query/group", f"`{one}` is none of {', '.join(GROUPS)}") for one in groups if one not in GROUPS]
    if faults:
        raise InvalidInput("the statistics cannot be made", "; ".join(one.detail for one in faults), "", faults)
    return StatisticsQuery(from_day, until_day, tuple(one for one in GROUPS if one in groups))


def as_csv(query: StatisticsQuery, figures: Sequence[Mapping[str, Any]]) -> str:
    """Return figures as CSV with a header; what begins like a formula is quoted for spreadsheets."""
    return "".join(csv_lines([*query.groups, *FIGURES], figures))


def day_text(day: int) -> str:
    """Return a count of days since the epoch as `2026-01-31`."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _shown(name: str, value: Any) -> Any:
    if name == "day":
        return day_text(value)
    if name == "state" and value == CODE_ENTERED:
        return "delivered"
    return value or None


def _figures(one: _Sum) -> dict[str, Any]:
    return {
        "messages": one.messages,
        "sent": one.sent,
        "delivered": one.delivered,
        "failed": one.failed,
        "parts": one.parts,
        "cost": None if one.cost is None else float(round(one.cost, 6)),
        "p50_s": _percentile(one.delays, 0.50),
        "p95_s": _percentile(one.delays, 0.95),
        "conversion": round(min(1.0, one.entered / one.otp_sent), 4) if one.otp_sent else None,
    }


def _percentile(delays: Mapping[int, int], part: float) -> float | None:
    """Return the delay, in seconds, that this part of the messages did not exceed; within 5 %."""
    counted = sum(count for bucket, count in delays.items() if bucket)
    if counted <= 0:
        return None
    left = part * counted
    for bucket, count in sorted(delays.items()):
        left -= count if bucket else 0
        if left <= 0 and bucket:
            return round(delay_of(bucket) / 1000, 3)
    return None


def _read_day(text: str | None, name: str, faults: list[Fault]) -> int | None:
    if text is None:
        return None
    try:
        if len(text) == 10:
            found = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return round(found.timestamp() * 1000) // DAY_MS
        return parse_query_time(text) // DAY_MS
    except ValueError as error:
        faults.append(Fault(f"/query/{name}", f"it must be a date, or a time with an offset: {error}"))
        return None
