"""What the threads of a turn at a destination share: what waits, what is in flight, and what came of it."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from carboy.clock import Clock
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.rows import Ended, Pending
from carboy.services.archive.items import Item
from carboy.services.archive.pacer import Pacer
from carboy.webhooks import Progress, advance

_GATHER_S = 0.05
_GATHERED = 64
_MAX_SLEEP_S = 1.0
_MOST = 2_000  # deliveries that are taken and wait


class Work(NamedTuple):
    """A delivery that was taken, and its event in the index; None where that is gone."""

    delivery: Pending
    item: Item | None


class Turn:
    """A turn at a destination: sender threads get batches by `next` and hand over what came of them by `put`.

    The circuit breaker and the rate hold here at once, before what came of an attempt is written.

    Args:
        destination: its settings as they were at the beginning.
        batch: deliveries that one attempt takes at most.
        pacer: keeps to its rate; None where it has none.
    """

    def __init__(
        self, destination: Destination, batch: int, progress: Progress, pacer: Pacer | None, clock: Clock
    ) -> None:
        self.destination = destination
        self.hold_until_ms: int = 0
        self._batch = 1 if pacer is not None else batch
        self._progress, self._pacer, self._clock = progress, pacer, clock
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[Work] = deque()
        self._ended: list[Ended] = []
        self._flying = self._enough = 0
        self._is_stopped = self._is_closed = self._is_pressing = False

    # --- the thread that takes and writes ---

    @property
    def may_send(self) -> bool:
        """Whether attempts may begin: the turn is not stopped, the destination neither paused nor blocked."""
        if self._is_stopped or self.hold_until_ms or self._progress.paused:
            return False
        return self._progress.blocked_until() <= self._clock.now_ms()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, is in flight or has to be written."""
        return not (self._waiting or self._flying or self._ended)

    def room(self, in_flight: int) -> int:
        """Return how many deliveries should be taken, 0 while enough wait or a probe is under way.

        What waits lasts for as long as attempts are gathered and written: no thread is idle meanwhile.
        """
        with self._changed:
            if self._progress.open_until is not None and (self._flying or self._waiting):
                return 0
            self._enough = min(in_flight * self._batch, _MOST // 8)
            most = 8 * self._enough
            return 0 if len(self._waiting) >= most // 2 else most - len(self._waiting)

    def add(self, taken: Sequence[Work], progress: Progress) -> int:
        """Let deliveries be sent; return how many threads have work.

        Args:
            taken: deliveries that were taken.
            progress: how the destination does, as it is written.
        """
        with self._changed:
            if (not self._flying and not self._ended) or progress.paused:
                self._progress = progress
            self._waiting.extend(taken)
            self._changed.notify_all()
            return self._flying + -(-len(self._waiting) // self._batch)

    def collect(self, at_most_s: float) -> list[Ended]:
        """Return what came of attempts, gathered for a moment; none where nothing ends in that time.

        It comes back at once where a write cannot wait: after a failure, and when deliveries are about to run out.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._is_pressing, at_most_s)
            if self._ended and not self._is_pressing:
                self._changed.wait_for(lambda: self._is_pressing, _GATHER_S)
            self._is_pressing = False
            ended, self._ended = self._ended, []
            return ended

    def pause(self, reason: str) -> None:
        """Let no further attempt begin: the destination was paused."""
        with self._changed:
            self._progress = Progress(paused=reason)

    def stop(self) -> list[Work]:
        """Let no further attempt begin, and return the deliveries that still wait."""
        with self._changed:
            self._is_stopped = True
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def close(self) -> None:
        """Let the sender threads end."""
        with self._changed:
            self._is_stopped = self._is_closed = True
            self._changed.notify_all()

    # --- the threads that send ---

    def next(self) -> list[Work] | None:
        """Wait for deliveries that may be attempted now, and return them; None at the end of the turn."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._is_closed:
                    return None
                wait_s = self._pacer.take(_MAX_SLEEP_S) if self._pacer is not None else 0.0
                if wait_s > _MAX_SLEEP_S:
                    self.hold_until_ms = self._clock.now_ms() + round(wait_s * 1000)
                    self._press()
                    continue
                batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._flying += 1
            if wait_s <= 0:
                return batch
            self._clock.sleep(wait_s)
            with self._changed:
                if self.may_send:
                    return batch
                self._flying -= 1
                self._waiting.extendleft(reversed(batch))
                self._press()

    def put(self, ended: Sequence[Ended]) -> None:
        """Hand over what came of a batch."""
        with self._changed:
            self._flying -= 1
            self._ended += ended
            for one in ended:
                if one.attempt is not None:
                    self._progress = advance(self._progress, one.attempt)
            if self._progress.failures or len(self._ended) >= _GATHERED or len(self._waiting) < self._enough:
                self._press()
            elif len(self._ended) == len(ended):
                self._changed.notify_all()

    def _has_work(self) -> bool:
        if self._is_closed:
            return True
        is_probing = self._progress.open_until is not None and self._flying
        return bool(self._waiting) and not is_probing and self.may_send

    def _press(self) -> None:
        self._is_pressing = True
        self._changed.notify_all()
