"""Lists as files: CSV that spreadsheets open without harm, and JSON by lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from flask import Response

from carboy.csv_text import csv_lines
from carboy.problems import Problem
from carboy.web.console.forms import left_out

Download = Literal["csv", "ndjson"]
_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def make_download(name: str, form: Download, fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Response:
    """Return a file of rows, written row by row.

    Args:
        name: of the file, without its ending.
        form: `csv` or `ndjson`.
        fields: the columns of a CSV file, in this order.
        rows: each with all the fields.

    Raises:
        Problem: 422, where a filter could not be read: a file does not say so, as a page does.
    """
    if names := left_out():
        raise Problem(422, f"a filter cannot be read: {', '.join(names)}")
    lines = csv_lines(fields, rows) if form == "csv" else _ndjson(rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(lines, headers=headers, content_type=_TYPES[form])


def _ndjson(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
