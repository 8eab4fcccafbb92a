"""The overview: what comes in, what became of it, and what is wrong."""

from typing import Any

from flask import Response, current_app, url_for

from carboy.logs import BoundLogger, get_logger
from carboy.web.console.access import has_scope
from carboy.web.console.rendering import render_page
from carboy.web.health.readiness import Checks, Verdict
from carboy.web.pages import Fact, Failure, Summary, mark
from carboy.web.runtime import Runtime, runtime

log: BoundLogger = get_logger("carboy.console")

_NEWEST = 10
_CHECKS_S = 0.02
_CHECKS_AGE_S = 30.0


def show_overview() -> Response:
    """Show the figures, facts and newest failures of all pages that the visitor may see."""
    pages = [page for page in current_app.config["PAGES"] if page.summary is not None and has_scope(page.scope)]
    summaries = [_summary_of(page) for page in pages]
    groups: dict[str, list[Fact]] = {}
    for fact in (fact for one in summaries for fact in one.facts):
        groups.setdefault(fact.group, []).append(fact)
    failures = sorted((one for each in summaries for one in each.failures), key=lambda one: -one.at_ms)
    figures = [figure for one in summaries for figure in one.figures]
    return render_page("console/overview.html", figures=figures, groups=groups, failures=failures[:_NEWEST])


def _summary_of(page: Any) -> Summary:
    """Return what a page adds; one that fails costs its part of the overview, not all of it."""
    try:
        found: Summary = page.summary()
    except Exception as error:  # the overview is what people open when something is wrong
        log.error("overview_part_failed", page=page.label, exc_info=error)
        return Summary(facts=(Fact(mark("Checks"), page.label, mark("cannot be read"), "bad"),))
    return found


def summarize_checks() -> Summary:
    """Return what the checks of `/readyz` found, as far as it is known at once."""
    checks = runtime().find(Checks)
    found = {} if checks is None else checks.latest(_CHECKS_S, _CHECKS_AGE_S)
    href = url_for("health.index")
    return Summary(facts=[Fact(mark("Checks"), name, *_check_words(one), href=href) for name, one in found.items()])


def _check_words(verdict: Verdict | None) -> tuple[str, str]:
    if verdict is None:
        return mark("is being checked"), "run"
    return (mark("does not work"), "bad") if verdict.event else (mark("works"), "ok")


def summarize_jobs() -> Summary:
    """Return the waiting jobs by kind, the oldest due one, and the newest that are dead."""
    current: Runtime = runtime()
    href = url_for("jobs.index")
    stats = current.jobs.store.stats()
    facts = [
        Fact(
            mark("Jobs"), row["kind"], mark("%(count)s %(state)s, the oldest due since %(age)s"),
            {"dead": "bad", "running": "run"}.get(row["state"], "wait"),
            href=f"{href}?kind={row['kind']}&state={row['state']}",
            params={"count": row["count"], "state": row["state"], "age_s": row["age_s"]},
        )
        for row in stats
    ]  # fmt: skip
    dead = current.jobs.store.list(state="dead", limit=_NEWEST)
    failures = [
        Failure(job.finished_at or job.created_at, job.kind, _last_line(job.error), url_for("jobs.show", job_id=job.id))
        for job in dead
    ]
    return Summary(facts=facts or [Fact(mark("Jobs"), "", mark("nothing waits"), "ok", href=href)], failures=failures)


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[-1][:300] if lines else ""
