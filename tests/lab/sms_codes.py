"""Coverage of the providers' documents by the tables of codes: `python -m tests.lab.sms_codes`.

`documented_codes.json` lists what the documents of the send APIs and of delivery reports know, each with its address.
It is read from the documents and never from the tables. Ends with 1 where a documented code has no row.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from carboy.services.sms.providers.code_table import load_codes, load_report_codes

DOCUMENTS = Path(__file__).parents[1] / "services" / "sms" / "documented_codes.json"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a document knows, and what of it has no row."""

    provider: str
    document: str
    is_reports: bool
    documented: frozenset[str]
    missing: frozenset[str]


def read_documents() -> Mapping[str, list[dict[str, Any]]]:
    """Return the documents of each provider, with their codes."""
    found: dict[str, list[dict[str, Any]]] = json.loads(DOCUMENTS.read_text("utf-8"))
    return found


def coverage() -> list[Coverage]:
    """Return the coverage of each document."""
    found = []
    for provider, documents in read_documents().items():
        for one in documents:
            is_reports = one.get("of") == "reports"
            rows = load_report_codes(provider) if is_reports else load_codes(provider)
            codes = frozenset(one["codes"])
            found.append(Coverage(provider, one["document"], is_reports, codes, codes - set(rows)))
    return found


def main() -> int:
    """Print a line for each document, and one for each provider."""
    found = coverage()
    click.echo(f"{'provider':9} {'of':8} {'documented':>10} {'in ours':>8} {'missing':>8}  document")
    for one in found:
        kind, size = "reports" if one.is_reports else "sending", len(one.documented)
        click.echo(
            f"{one.provider:9} {kind:8} {size:10} {size - len(one.missing):8} {len(one.missing):8}  {one.document}"
            + "".join(f"\n  missing: {code}" for code in sorted(one.missing))
        )
    for provider in dict.fromkeys(one.provider for one in found):
        documented = frozenset[str]().union(*(one.documented for one in found if one.provider == provider))
        rows = set(load_report_codes(provider))
        click.echo(
            f"{provider}: {len(documented & rows)} of {len(documented)} documented codes; {len(rows)} rows in all"
        )
    return int(any(one.missing for one in found))


if __name__ == "__main__":
    sys.exit(main())
