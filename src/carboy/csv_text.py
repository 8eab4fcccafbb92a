"""CSV that spreadsheets open without harm."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["csv_lines"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last are full-width


def csv_lines(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a header and the rows, each as a line of CSV; None is an empty cell.

    A text that a spreadsheet would take for a formula, in East Asia a full-width one too, begins with an apostrophe.

    Args:
        fields: the columns, in this order.
        rows: each with all the fields.

    Source: OWASP, "CSV Injection".
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(fields)
    for row in rows:
        yield out.getvalue()
        out.seek(0)
        out.truncate()
        writer.writerow([_cell(row[field]) for field in fields])
    yield out.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
