"""Notify of job rows after their commit, by a group commit, a session or a bare connection.

`note` keeps rows in the `info` of the connection that writes them. A rollback drops them, a commit passes them on when
the connection returns to its pool. Rows of a savepoint that was rolled back, or of a commit that failed, may be passed
on too: an engine that looks for such a row does not find it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from carboy.jobs.engine_registry import Ready

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_IS_LISTENING, _NOTED, _COMMITTED = "carboy_jobs_listening", "carboy_jobs_noted", "carboy_jobs_committed"


def note(connection: "Connection", rows: Callable[[], Sequence[Ready]]) -> None:
    """Remember rows to notify of after their transaction; does nothing without a listener."""
    if _IS_LISTENING in connection.get_execution_options():
        connection.info.setdefault(_NOTED, []).extend(rows())


def notify_after_commit(engine: "Engine", notify: Callable[[Sequence[Ready]], None]) -> None:
    """Call `notify` with every row that is committed over an engine's connections."""
    from sqlalchemy import event

    def on_commit(connection: "Connection") -> None:
        noted = connection.info.pop(_NOTED, None)
        if noted:
            connection.info.setdefault(_COMMITTED, []).extend(noted)

    def on_rollback(connection: "Connection") -> None:
        if not connection.invalidated:  # a lost one has no `info`: asking for it would hide the error that lost it
            connection.info.pop(_NOTED, None)

    def on_checkin(_connection: Any, record: Any) -> None:
        record.info.pop(_NOTED, None)
        committed = record.info.pop(_COMMITTED, None)
        if committed:
            notify(committed)

    engine.update_execution_options(**{_IS_LISTENING: True})
    event.listen(engine, "commit", on_commit)
    event.listen(engine, "rollback", on_rollback)
    event.listen(engine, "checkin", on_checkin)
