"""`/api/jobs`: what could not be done is seen and tried again."""

from typing import TYPE_CHECKING, Any

from carboy.errors import Missing
from carboy.http_values import MAX_ID, render_time
from carboy.problems import Problem
from carboy.web.openapi import add_own_api

if TYPE_CHECKING:
    from flask import Flask

    from carboy.jobs import JobView
    from carboy.web.runtime import Jobs, Runtime

_RULES = (
    ("GET", "/api/jobs", "list_jobs"),
    ("POST", "/api/jobs/retry", "retry_jobs"),
    ("GET", "/api/jobs/<job_id>", "get_job"),
    ("POST", "/api/jobs/<job_id>/retry", "retry_job"),
)


def add_jobs_api(app: "Flask", runtime: "Runtime") -> None:
    """Serve `/api/jobs`."""
    add_own_api(app, "jobs.yaml", _Operations(runtime.jobs), _RULES, "carboy_jobs")


class _Operations:
    def __init__(self, jobs: "Jobs") -> None:
        self._jobs = jobs

    def list_jobs(
        self, state: str | None = None, kind: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> dict[str, Any]:
        before = min(int(cursor), MAX_ID) if cursor is not None else None
        found = self._jobs.store.list(state=state, kind=kind, limit=limit + 1, before=before)
        page = found[:limit]
        more = page[-1].id if len(found) > limit else None
        return {"success": True, "jobs": [_shown(job) for job in page], "next": more}

    def get_job(self, job_id: str) -> dict[str, Any]:
        return {"success": True, "job": _shown(self._find(job_id))}

    def retry_job(self, job_id: str) -> dict[str, Any]:
        state = self._find(job_id).state
        if state in {"running", "done"}:
            raise Problem(409, f"job {job_id} is {state}: only what waits or is dead can be tried again")
        job = self._jobs.store.retry(int(job_id))
        self._jobs.notify()
        return {"success": True, "job": _shown(job)}

    def retry_jobs(self, state: str = "dead", kind: str | None = None) -> dict[str, Any]:
        count = self._jobs.store.retry_all(state=state, kind=kind)
        self._jobs.notify()
        return {"success": True, "retried": count}

    def _find(self, job_id: str) -> "JobView":
        try:
            return self._jobs.store.get(min(int(job_id), MAX_ID))
        except Missing as error:
            raise Problem(404, f"there is no job {job_id}") from error


def _shown(job: "JobView") -> dict[str, Any]:
    """Return a job without its arguments: they may be about a person."""
    return {
        "id": job.id,
        "kind": job.kind,
        "key": job.key,
        "state": job.state,
        "attempts": job.attempts,
        "created_at": render_time(job.created_at),
        "run_at": render_time(job.run_at),
        "finished_at": render_time(job.finished_at),
        "request_id": job.request_id,
        "error": job.error,
    }
