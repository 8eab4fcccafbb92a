"""Celery's consumer of messages that survives what a broken connection leaves behind."""

from typing import Any

from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger

with extra("celery"):
    from celery.worker import loops
    from celery.worker.consumer import Consumer

__all__: list[str] = []  # a setting of Celery names what is here

log: BoundLogger = get_logger("carboy.jobs")


class _LastingConsumer(Consumer):  # type: ignore[misc]
    """Connects again whenever the connection breaks.

    Celery closes the broken connection first, and takes only that connection's own errors. Over Redis, a channel with
    unacknowledged messages wants to put them back then, finds no address any more, and its AttributeError ends the
    worker. So does an acknowledgement that comes when the connection is gone. The sweeper finds the rows of those
    messages.

    Source: celery 5.7.0, `Consumer.on_connection_error_after_connected`; kombu 5.7.0, `virtual.Channel.close` and
    `Message.ack_log_error`.
    """

    hub: Any

    def loop(self, *arguments: Any) -> None:
        """Take messages until the connection breaks or the worker ends."""
        run = loops.asynloop if self.hub else loops.synloop
        try:
            run(*arguments)
        except AttributeError as error:
            if error.obj is not None:
                raise
            raise ConnectionResetError(f"a message's connection is gone: {error}") from error

    def on_connection_error_after_connected(self, exc: Exception) -> Any:
        """Close the broken connection."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001 (whatever it is, a new connection knows nothing of it)
            log.warning("jobs_connection_not_closed", error=f"{type(error).__name__}: {error}")
