"""Write Grafana dashboards from the metrics that the source declares: `python -m docs.tools.dashboards [--check]`."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from docs.tools.reference.observability import Metric, metrics

__all__ = ["DASHBOARDS", "expressions", "render"]

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
_SERVICE: Callable[[Metric], bool] = lambda metric: metric.part != "sms"  # noqa: E731
DASHBOARDS: dict[str, tuple[str, Callable[[Metric], bool]]] = {
    "grafana-service.json": ("Carboy: service", _SERVICE),
    "grafana-sms.json": ("Carboy: SMS gateway", lambda metric: metric.part == "sms"),
}
"""The file of each dashboard, its title, and the metrics that it shows."""

_CHOSEN = 'job=~"$job"'
_QUANTILES = (0.5, 0.95, 0.99)
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


def render(name: str, declared: Sequence[Metric] | None = None) -> str:
    """Return the JSON of a dashboard: one panel for each metric, in two columns."""
    title, is_shown = DASHBOARDS[name]
    shown = [metric for metric in declared or metrics() if is_shown(metric)]
    dashboard = {
        "title": title,
        "uid": name.removesuffix(".json").replace("grafana", "carboy"),
        "tags": ["carboy"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source_variable(), _job_variable(shown[0])]},
        "panels": [_panel(number, metric) for number, metric in enumerate(shown)],
    }
    return json.dumps(dashboard, indent=2) + "\n"


def expressions(metric: Metric) -> list[tuple[str, str]]:
    """Return the PromQL of a metric's panel, each with the legend of its lines."""
    labels = [label for label in metric.labels if label != "route" or metric.kind != "histogram"]
    legend = " ".join(f"{{{{{label}}}}}" for label in labels) or "{{instance}}"
    by = ", ".join(labels) or "instance"
    match metric.kind:
        case "counter":
            return [(f"sum by ({by}) (rate({metric.name}{{{_CHOSEN}}}[$__rate_interval]))", legend)]
        case "histogram":
            buckets = f"sum by (le) (rate({metric.name}_bucket{{{_CHOSEN}}}[$__rate_interval]))"
            return [(f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}") for share in _QUANTILES]
        case _:
            worst = {
                "carboy_check_up": "min",
                "process_resident_memory_bytes": "sum",
                "process_threads": "sum",
                "process_start_time_seconds": "1000 * min",  # Grafana's dates are in milliseconds
            }
            return [(f"{worst.get(metric.name, 'max')} by ({by}) ({metric.name}{{{_CHOSEN}}})", legend)]


_UNITS = {"process_cpu_seconds_total": "short", "process_start_time_seconds": "dateTimeFromNow"}


def _panel(number: int, metric: Metric) -> dict[str, Any]:
    unit = _UNITS.get(metric.name) or {"_seconds": "s", "_bytes": "bytes", "_total": "ops"}.get(
        next(iter(re.findall(r"_[a-z]+$", metric.name)), ""), "short"
    )
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": metric.help.rstrip("."),
        "description": f"`{metric.name}`",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(expressions(metric))
        ],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _job_variable(metric: Metric) -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": f"label_values({metric.name}, job)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def main(arguments: Sequence[str]) -> int:
    """Write the dashboards, or with `--check` return 1 where one is stale."""
    stale = [
        name for name in DASHBOARDS if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != render(name)
    ]
    if "--check" not in arguments:
        for name in stale:
            (FOLDER / name).write_text(render(name), "utf-8")
        return 0
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
