"""Dashboards and alerts use metrics, labels and pages that exist."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import promql_parser
import pytest
import yaml
from docs.tools import dashboards
from docs.tools.reference.observability import Metric, metrics
from tests.deploy.checks import DEPLOY, ROOT

RUNBOOKS = ROOT / "docs" / "how-to" / "runbooks"
_ADDED_LABELS = {"job", "instance", "le"}  # by Prometheus, and of a histogram's buckets


@cache
def _declared() -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics()}


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = _alerts()


def _selectors(expression: Any) -> Iterator[Any]:
    """Yield the vector selectors of a parsed expression."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression
        case promql_parser.MatrixSelector():
            yield expression.vector_selector
        case promql_parser.Call():
            for argument in expression.args:
                yield from _selectors(argument)
        case promql_parser.BinaryExpr():
            yield from _selectors(expression.lhs)
            yield from _selectors(expression.rhs)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _selectors(expression.expr)


def _faults(text: str) -> list[str]:
    """Return what an expression names that the source does not declare."""
    faults = []
    for selector in _selectors(promql_parser.parse(text)):
        name = re.sub(r"_(bucket|sum|count)$", "", selector.name)
        metric = _declared().get(selector.name) or _declared().get(name)
        if metric is None or (metric.kind == "histogram") is (metric.name == selector.name):
            faults.append(f"no metric {selector.name}")
            continue
        labels = {matcher.name for matcher in selector.matchers.matchers}
        labels |= {label for by in re.findall(r"by \(([^)]*)\)", text) for label in by.split(", ")}
        faults += [f"no label {label} of {metric.name}" for label in labels - {*metric.labels, *_ADDED_LABELS}]
    return faults


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_uses_metrics_that_exist_and_links_to_its_runbook(rule: dict[str, Any]) -> None:
    """The expression parses, its metrics and labels are declared, and the page of its runbook is about it."""
    page = RUNBOOKS / re.sub(r"\.html$", ".md", rule["annotations"]["runbook_url"].rpartition("/")[2])

    assert _faults(rule["expr"]) == []
    assert page.read_text("utf-8").startswith(f"# {rule['alert']}\n")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "rate(http_requests_totals[5m])",
        "http_request_duration_seconds",
        "http_requests_total_bucket",
        'http_requests_total{code="500"}',
        "sum by (color) (http_requests_total)",
    ],
)
def test_a_name_that_does_not_exist_is_found(text: str) -> None:
    """The check above can fail."""
    assert _faults(text) != []


def test_each_runbook_has_an_alert_and_is_listed() -> None:
    """No page outlives its alert."""
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"index.md"}
    linked = {f"{rule['annotations']['runbook_url'].rpartition('/')[2].removesuffix('.html')}.md" for rule in ALERTS}

    assert pages == linked
    assert set(re.findall(r"\]\(([a-z-]+\.md)\)", (RUNBOOKS / "index.md").read_text("utf-8"))) == pages


@pytest.mark.parametrize("name", sorted(dashboards.DASHBOARDS))
def test_a_dashboard_is_what_the_definitions_make(name: str) -> None:
    """The file is current, and each of its expressions parses and uses metrics that exist."""
    text = (DEPLOY / "monitoring" / name).read_text("utf-8")
    expressions = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]

    assert text == dashboards.render(name), "run `python -m docs.tools.dashboards`"
    for expression in expressions:
        assert _faults(expression.replace("$__rate_interval", "5m")) == []


def test_each_metric_is_on_a_dashboard() -> None:
    """A metric that is added later has a panel."""
    shown = "".join((DEPLOY / "monitoring" / name).read_text("utf-8") for name in dashboards.DASHBOARDS)

    assert [name for name in _declared() if f"`{name}`" not in shown] == []


@pytest.mark.parametrize("name", ["lambda/template.yaml", "ecs/service.yaml"])
def test_a_cloudwatch_dashboard_shows_resources_of_its_template(name: str) -> None:
    """Its body is JSON; what it names in `${…}` is a resource or a parameter."""
    text = (DEPLOY / name).read_text("utf-8")
    body = text.partition("DashboardBody: !Sub |\n")[2].partition("\n\n")[0].partition("\nOutputs:")[0]
    known = set(re.findall(r"^  ([A-Za-z]+):$", text, re.MULTILINE)) | {"AWS::Region", "AWS::StackName"}

    assert len(json.loads(body)["widgets"]) >= 4
    assert {one.partition(".")[0] for one in re.findall(r"\$\{([^}]+)\}", body)} <= known
