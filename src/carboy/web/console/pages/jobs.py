"""Jobs: what waits, runs or is dead, by kind; retry, cancel and delete."""

from typing import Any

from flask import Blueprint, Response, request

from carboy.errors import Missing
from carboy.http_values import MAX_ID, render_cursor
from carboy.jobs import JobView
from carboy.problems import Problem
from carboy.web.console.access import has_scope
from carboy.web.console.audit import record_action
from carboy.web.console.forms import PAGE_ROWS, read_choice, read_cursor
from carboy.web.console.rendering import go_to_page, render_page, show_notice, translate
from carboy.web.pages import mark
from carboy.web.runtime import runtime

STATES = (mark("queued"), mark("running"), mark("done"), mark("dead"))


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("jobs", __name__)
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<int:job_id>", "show", _show)
    made.add_url_rule("/retry", "retry_all", _retry_all, methods=["POST"])
    made.add_url_rule("/<int:job_id>/<any(retry,cancel,delete):action>", "act", _act, methods=["POST"])
    return made


def _index() -> Response:
    current = runtime()
    kinds = sorted(current.jobs.registry.kinds)
    state, kind = read_choice("state", STATES), request.args.get("kind", "")[:100]
    place = read_cursor()
    jobs = current.jobs.store.list(
        state=state or None, kind=kind or None, limit=PAGE_ROWS + 1, before=place[0] if place else None
    )
    following = render_cursor(int(jobs[PAGE_ROWS - 1].id)) if len(jobs) > PAGE_ROWS else None
    return render_page(
        "console/jobs.html", jobs=jobs[:PAGE_ROWS], following=following, stats=current.jobs.store.stats(), kinds=kinds,
        states=STATES, state=state, kind=kind,
    )  # fmt: skip


def _show(job_id: int) -> Response:
    job = _get(job_id)
    history = [{"title": mark("Created"), "at": job.created_at, "state": "ok", "detail": ""}]
    if job.attempts:
        detail = translate(mark("%(count)s tries"), count=job.attempts)
        history.append({"title": mark("Tried"), "at": None, "state": "run", "detail": detail})
    match job.state:
        case "queued":
            history.append({"title": mark("Runs next"), "at": job.run_at, "state": "", "detail": ""})
        case "done" | "dead":
            kind = "ok" if job.state == "done" else "bad"
            history.append({"title": job.state, "at": job.finished_at, "state": kind, "detail": ""})
    scopes = [scope for page in runtime().pages for scope in page.job_scopes.get(job.kind, ())]
    missing = [scope for scope in scopes if not has_scope(scope)]
    if scopes and not missing:
        record_action("job.read_args", str(job_id), job.kind)
    return render_page("console/job.html", job=job, history=history, missing=missing)


def _retry_all() -> Response:
    kind = request.form.get("kind", "")
    count = runtime().jobs.store.retry_all(kind=kind or None)
    record_action("job.retry_all", kind, f"{count} jobs")
    show_notice(mark("%(count)s jobs run again."), count=count)
    return go_to_page("jobs.index", kind=kind or None)


def _act(job_id: int, action: str) -> Response:
    store: Any = runtime().jobs.store
    job = _get(job_id)
    match action:
        case "retry":
            store.retry(job_id)
            runtime().jobs.notify()
            show_notice(mark("The job runs again."))
        case "cancel":
            if not store.cancel(job_id):
                raise Problem(409, "only a job that waits can be cancelled")
            show_notice(mark("The job is cancelled: it is dead, and can be tried again."))
        case _:
            if not store.delete(job_id):
                raise Problem(409, "only a job that is done or dead can be deleted")
            show_notice(mark("The job is deleted."))
    record_action(f"job.{action}", str(job_id), job.kind)
    return go_to_page("jobs.index") if action == "delete" else go_to_page("jobs.show", job_id=job_id)


def _get(job_id: int) -> JobView:
    try:
        return runtime().jobs.store.get(min(job_id, MAX_ID))
    except Missing as error:
        raise Problem(404, "there is no such job") from error
