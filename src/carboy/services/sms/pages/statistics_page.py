"""Statistics: what was sent, delivered and failed, by day, template, provider, country and state; parts and cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response

from carboy.errors import Fault, InvalidInput
from carboy.services.sms.pages.messages import gateway
from carboy.services.sms.statistics import FIGURES, GROUPS, StatisticsQuery, day_text, read_statistics_query
from carboy.web import Download, make_download, mark, query_value, query_values, render_page

_GROUP_LABELS = {
    "day": mark("Day"), "template": mark("Template"), "provider": mark("Provider"), "country": mark("Country"),
    "state": mark("State"),
}  # fmt: skip
_CHARTS = {"sent": mark("Sent"), "delivered": mark("Delivered"), "failed": mark("Failed")}


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("statistics", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/export.<any(csv,ndjson):form>", "export", _export)
    return made


def _query(default_group: str) -> StatisticsQuery:
    _, sms = gateway()
    group = ",".join(one for one in query_values("group") if one in GROUPS) or default_group
    return read_statistics_query(query_value("from") or None, query_value("until") or None, group, sms.clock.now_ms())


def _index() -> Response:
    _, sms = gateway()
    faults: Sequence[Fault] = ()
    try:
        query = _query("day")
    except InvalidInput as error:
        query, faults = read_statistics_query(None, None, "day", sms.clock.now_ms()), error.faults
    by_day = StatisticsQuery(query.from_day, query.until_day, ("day",))
    figures = sms.statistics.figures(query)
    days = figures if query == by_day else sms.statistics.figures(by_day)
    [total] = sms.statistics.figures(StatisticsQuery(query.from_day, query.until_day, ()))
    return render_page(
        "sms/statistics.html", 422 if faults else 200, query=query, faults=faults, total=total, labels=_GROUP_LABELS,
        rows=figures[::-1] if query.groups[0] == "day" else figures, charts=_charts(query, days),
        days=(day_text(query.from_day), day_text(query.until_day)),
    )  # fmt: skip


def _charts(query: StatisticsQuery, days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the numbers of each chart, a day without messages as 0."""
    known = {one["day"]: one for one in days}
    names = [day_text(day) for day in range(query.from_day, query.until_day)]
    return [
        {
            "label": label,
            "is_bad": name == "failed",
            "series": [(day, int(known[day][name]) if day in known else 0) for day in names],
        }
        for name, label in _CHARTS.items()
    ]


def _export(form: Download) -> Response:
    _, sms = gateway()
    query = _query("day")
    return make_download("statistics", form, [*query.groups, *FIGURES], sms.statistics.figures(query))
