"""A lock that never blocks, for handlers whose sinks do their own locking."""

__all__ = ["NoLock"]


class NoLock:
    """Is taken and given back at no cost, by any number at once: `logging` takes a lock unasked since 3.13."""

    def acquire(self) -> bool:
        """Be taken at once."""
        return True

    def release(self) -> None:
        """Be given back."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass
