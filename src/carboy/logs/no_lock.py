"""A lock that never blocks, for handlers whose sinks do their own locking."""


class NoLock:
    """A lock that any number of threads have at once; `logging` always takes one since 3.13."""

    def acquire(self) -> bool:
        """Return True."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass
