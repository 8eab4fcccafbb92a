"""Enqueue a job in the caller's own transaction."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.extension import find_extension
from carboy.extras import extra
from carboy.jobs.definitions import Job
from carboy.logs import request_id

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

A = ParamSpec("A")


def enqueue(
    job: Job[A],
    *args: Any,
    key: str | None = None,
    after_s: float = 0.0,
    session: "Session | Connection | None" = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Add the row of a job in the transaction of the session: both are committed or rolled back together.

    Args:
        job: the job.
        args: its arguments, anything that JSON can represent.
        key: an idempotency key: of rows with the same key only the first is kept.
        after_s: the least delay in seconds.
        session: a session or connection; `db.session` of the current Flask application by default.
        clock: the time.
    """
    with extra("jobs"):
        from sqlalchemy import event
        from sqlalchemy.orm import Session, scoped_session

        from carboy.jobs.job_rows import put, row_of
    current = session if session is not None else _flask_session()
    if isinstance(current, scoped_session):
        current = current()
    row = row_of(job, args, now_ms=clock.now_ms(), key=key, after_s=after_s, request_id=request_id())
    put(current.connection() if isinstance(current, Session) else current, [row])
    notify = _notify_of_app()
    if notify is not None and isinstance(current, Session):
        event.listen(current, "after_commit", lambda _: notify(), once=True)


def _flask_session() -> Any:
    from flask import current_app

    return current_app.extensions["sqlalchemy"].session


def _notify_of_app() -> Callable[[], None] | None:
    from flask import current_app, has_app_context

    if not has_app_context():
        return None
    extension = find_extension(current_app)
    return None if extension is None else extension.notify_jobs
