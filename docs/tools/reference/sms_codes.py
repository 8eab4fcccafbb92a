"""The page of the SMS providers' codes, from the tables that judge responses and delivery reports."""

from docs.tools.reference.tables import page, table

from carboy.services.sms.providers.code_table import CodeRow, is_temporary, load_codes, load_report_codes

__all__ = ["render_sms_codes"]

_PROVIDERS = {
    "aliyun": "Aliyun",
    "aws": "AWS",
    "huawei": "Huawei Cloud",
    "tencent": "Tencent Cloud",
    "twilio": "Twilio",
}
_NEXT = {"stop": "stop", "next_provider": "next provider", "later": "later"}
_HEAD = """What each code of a provider means to a message: whose fault it is, whether the message was sent, and what
the gateway does next; each from the provider's own document. A code of the API without a row is *unknown*: the message
is never sent again by itself, and the log says so once. SNS answers with codes of AWS.

A delivery report with a code marked *again* is tried again where the template has `retry_undelivered`; a code of the
API means the same in a report unless the second table has it. Codes of the carriers behind a provider are too many for
rows: such a message is `undelivered`, and is not tried again. See
[how an SMS is delivered](../concepts/sms-delivery.md)."""


def render_sms_codes() -> str:
    """Return the page: for each provider the codes of its API, and those that differ in delivery reports."""
    parts = [_HEAD]
    for provider, title in _PROVIDERS.items():
        codes, reports = load_codes(provider), load_report_codes(provider)
        own = [row for code, row in reports.items() if codes.get(code) != row]
        parts += [
            f"## {title}",
            table(("code", "fault", "sent", "next", "in reports"), [_cells(provider, row) for row in codes.values()]),
            f"### Delivery reports of {title}",
            table(("code", "fault", "sent", "next", "in reports"), [_cells(provider, row) for row in own]),
            "Documents: " + ", ".join(f"<{one}>" for one in _documents([*codes.values(), *own])),
        ]
    return page("Codes of SMS providers", *parts)


def _cells(provider: str, row: CodeRow) -> tuple[str, ...]:
    again = "again" if is_temporary(provider, row.code) else ""
    return f"`{row.code}`", row.fault, row.sent, _NEXT[row.next], again


def _documents(rows: list[CodeRow]) -> list[str]:
    return sorted({row.source.split()[0].rstrip(",") for row in rows})
