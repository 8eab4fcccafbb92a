"""SMS messages: 1,000 receivers in a request, the opt-out look-up, statistics of large tables, outages of providers.

`python -m benchmarks messages 1000000` takes that many messages as the larger table.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, create_engine
from tests.lab.sms_outages import World

RECEIVERS = 1000
SMALL, LARGE = 10_000, 1_000_000
DAYS = 30
NOW_MS = 1_767_225_600_000
OUTAGES = (1, 10, 60, 360, 1440)


def run(rows: int = LARGE) -> None:
    _report_numbers()
    with TemporaryDirectory() as folder:
        small, large = (_filled(Path(folder) / f"{size}.db", size) for size in (SMALL, rows))
        _report_opt_outs(large)
        _report_statistics(small, large, rows)
    _report_outages()


def _report_numbers() -> None:
    """CPU time to read receivers, against libphonenumber's parser alone."""
    import phonenumbers

    from carboy.services.sms.numbers import NumberRules, read_receivers

    draw = random.Random(1)
    texts = [f"+86138{draw.randrange(10**8):08d}" for _ in range(RECEIVERS)]
    rules = NumberRules("", ("CN",), ("mobile",))
    ours = _cpu_s(lambda: read_receivers(texts, rules))
    parser = _cpu_s(lambda: [phonenumbers.is_valid_number(phonenumbers.parse(text)) for text in texts])
    print(
        f"{RECEIVERS} receivers are read in {ours * 1000:.1f} ms; parsed and validated by phonenumbers alone in ",
        end="",
    )
    print(f"{parser * 1000:.1f} ms: ratio {ours / parser:.2f}")


def _report_opt_outs(engine: Engine) -> None:
    from carboy.services.sms.opt_outs import find_opted_out

    with engine.begin() as connection:
        look_up = _cpu_s(lambda: [find_opted_out(connection, ["+8613900000000"]) for _ in range(1000)]) * 1000
        plain = _cpu_s(lambda: [connection.exec_driver_sql("SELECT 1").all() for _ in range(1000)]) * 1000
    print(f"an opt-out look-up takes {look_up:.1f} µs, a `SELECT 1` through SQLAlchemy {plain:.1f} µs (aim: 20 µs)")


def _report_statistics(small: Engine, large: Engine, rows: int) -> None:
    """A month of statistics by group, at two sizes of the table; what costs is the kinds of messages."""
    from carboy.services.sms.daily_counts import DAY_MS, pack_days

    _report_groups(small, large, rows, "before its days are packed")
    for one in (small, large):
        with one.begin() as connection:
            while pack_days(connection, NOW_MS // DAY_MS):
                pass
    _report_groups(small, large, rows, "packed")


def _report_groups(small: Engine, large: Engine, rows: int, what: str) -> None:
    from carboy.services.sms.statistics import Statistics, read_statistics_query

    for group in ("", "day", "template,provider", "country,state"):
        query = read_statistics_query("2025-12-02", "2026-01-01", group, NOW_MS)
        took = [_cpu_s(lambda: Statistics(one, {}, frozenset()).figures(query)) for one in (small, large)]  # noqa: B023
        print(
            f"statistics of a month, {what}, by {group or 'nothing':18} {took[0] * 1000:7.1f} ms at {SMALL:,} messages,"
            f" {took[1] * 1000:7.1f} ms at {rows:,}: ratio {took[1] / took[0]:.2f} (aim: 2)"
        )


def _report_outages() -> None:
    """Messages that are late while one of two equal providers takes them and delivers none, 20 a minute."""
    for minutes in OUTAGES:
        times, length = [(60, 60 + minutes)], minutes + 480
        fixed, moved = (World(times, 20, is_adaptive=adaptive).run(length) for adaptive in (False, True))
        print(
            f"an outage of {minutes:5} minutes makes {moved.late:6} messages late, {fixed.late:6} with fixed weights:"
            f" ratio {moved.late / fixed.late:.2f}, {moved.falls} times traffic moved away"
        )


def _filled(path: Path, size: int) -> Engine:
    """Return a database with messages of a month and the counts of them."""
    from carboy.db import insert_rows, metadata
    from carboy.services.sms.daily_counts import Key, add_counts, key_of
    from carboy.services.sms.tables import MESSAGES

    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    counts: Counter[Key] = Counter()
    draw = random.Random(2)
    with engine.begin() as connection:
        for begin in range(0, size, 5000):
            rows = [_message(at, draw) for at in range(begin, min(begin + 5000, size))]
            insert_rows(connection, MESSAGES, rows)
            counts.update(key for row in rows if (key := key_of(_Row(row))) is not None)
        add_counts(connection, {key: (count, count) for key, count in counts.items()})
    return engine


class _Row:
    """A row's columns as attributes."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.__dict__.update(row)


def _message(at: int, draw: random.Random) -> dict[str, Any]:
    created_at = NOW_MS - 1 - draw.randrange(DAYS * 86_400_000)
    state = draw.choices(("delivered", "undelivered", "failed", "sent"), (90, 4, 3, 3))[0]
    sent_at = None if state == "failed" else created_at + 500
    delay_ms = round(draw.lognormvariate(math.log(3000), 1))
    return {
        "id": at + 1, "request": at + 1, "receiver_shown": "+86138****0000", "receiver_hash": f"{at:064x}",
        "template": draw.choice(("captcha", "notice", "offer")), "state": state, "attempts": 1, "segments": 1,
        "provider": draw.choice(("aliyun", "twilio")), "created_at": created_at, "sent_at": sent_at,
        "settled_at": created_at + delay_ms, "country": draw.choice(("CN", "US", "DE")), "sequence": 1, "retries": 0,
    }  # fmt: skip


def _cpu_s(function: Callable[[], object], rounds: int = 5) -> float:
    """Return the least CPU time of a few calls."""
    took = []
    for _ in range(rounds):
        started = time.process_time()
        function()
        took.append(time.process_time() - started)
    return min(took)
