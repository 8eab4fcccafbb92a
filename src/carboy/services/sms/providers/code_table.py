"""Error codes of the providers: one table each, from the providers' own documents.

The rows are data, `codes/<provider>.csv`: the code, whose fault it is, whether the text was sent, what to do next, and
the document that says so. A code without a row leaves open whether the text was sent. `codes/<provider>_reports.csv`
has the codes that mean something else in a delivery report, or occur there only.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import convert

from carboy.services.sms.providers.wire import Fault, Kind, Outcome

Sent = Literal["no", "yes", "unknown"]
Next = Literal["stop", "next_provider", "later"]

_FOLDER = Path(__file__).with_name("codes")
_QUOTA_WAIT_S = 60.0  # a day's or a month's quota is not back within a second


@dataclass(frozen=True, slots=True)
class CodeRow:
    """What a code means.

    Attributes:
        code: the provider's own.
        fault: whose it is.
        sent: whether the text went out.
        next: what follows; for a receiver's own limit `later` means that the caller may ask again.
        source: the document.
    """

    code: str
    fault: Fault
    sent: Sent
    next: Next
    source: str


@cache
def load_codes(name: str) -> Mapping[str, CodeRow]:
    """Return a table by code.

    Args:
        name: of a built-in provider; with `_reports`, of its delivery reports.

    Raises:
        ValueError: a row has a value that is not allowed, or a code has two rows.
    """
    lines = (_FOLDER / f"{name}.csv").read_text("utf-8").splitlines()
    sources = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    rows: dict[str, CodeRow] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        code = convert({**row, "source": sources[row["source"]]}, CodeRow)
        if code.code in rows:
            raise ValueError(f"{name}.csv: {code.code} has two rows")
        rows[code.code] = code
    return rows


@cache
def load_report_codes(provider: str) -> Mapping[str, CodeRow]:
    """Return the table of a built-in provider's delivery reports by code; codes of the API count in reports as well.

    Raises:
        ValueError: a row has a value that is not allowed, or a code has two rows.
    """
    return {**load_codes(provider), **load_codes(f"{provider}_reports")}


def is_temporary(provider: str, code: str) -> bool:
    """Return whether a delivery report with a code says that another attempt may deliver the message.

    That is a failure that passes, or one of our account's or sender's at this provider; a limit that protects the
    receiver and a code without a row are not.
    """
    row = load_report_codes(provider).get(code)
    if row is None or row.next == "stop":
        return False
    return (row.fault, row.sent, row.next) != ("receiver", "no", "later")


def kind_of(row: CodeRow) -> Kind:
    """Return how a call with this code ended."""
    match row:
        case CodeRow(sent="yes"):
            return "accepted"
        case CodeRow(sent="unknown"):
            return "unknown"
        case CodeRow(fault="receiver", next="later"):
            return "braked"
        case CodeRow(next="stop"):
            return "refused"
        case CodeRow(next="later"):
            return "throttled"
        case CodeRow(fault="account"):
            return "account"
        case CodeRow(fault="provider"):
            return "not_sent"
    return "unsupported"


def outcome_of(provider: str, code: str, words: str = "", provider_id: str = "", *, status: int = 200) -> Outcome:
    """Return what an answer with a code means.

    Args:
        provider: names the table.
        code: the provider's own; what stands after a slash is its reason.
        words: the provider's own.
        provider_id: what the provider calls the message.
        status: of HTTP; a server error leaves open whether the text was sent, whatever the code says.
    """
    row = load_codes(provider).get(code)
    if row is None:
        return Outcome("unknown", code, words, provider_id, is_listed=False)
    kind = kind_of(row)
    if status >= 500 and kind != "throttled":
        kind = "unknown"
    wait_s = _QUOTA_WAIT_S if kind == "throttled" and row.fault == "account" else 0.0
    return Outcome(kind, code, words, provider_id, wait_s, row.fault)
