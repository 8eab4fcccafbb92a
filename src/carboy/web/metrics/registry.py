"""Counters, gauges and histograms, and their text for Prometheus.

Of a metric's labels the values must come from a small set (routes, states), never from a caller's text.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from carboy.errors import UsageError

__all__ = ["CONTENT_TYPE", "DURATION_BUCKETS_S", "Counter", "Gauge", "Histogram", "Metrics", "Sample"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[str, ...]
Sample = tuple[Labels, float]
"""The values of a metric's labels, in their order, and its value."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Counter:
    """A number that only grows, one for each combination of label values."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:  # noqa: A002
        self.name: str = name
        self.help: str = help
        self.labels: Labels = tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def inc(self, labels: Labels = (), by: float = 1.0) -> None:
        """Add to the number of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + by

    def value(self, labels: Labels = ()) -> float:
        """Return the number of these label values."""
        return self._values.get(labels, 0.0)

    def lines(self) -> Iterator[str]:
        """Yield the text of every number."""
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}"


class Gauge(Counter):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, labels: Labels = ()) -> None:
        """Make it the number of these label values."""
        with self._lock:
            self._values[labels] = value


class Histogram:
    """How many observations were at most so large, their sum and count, for each combination of label values."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DURATION_BUCKETS_S,
    ) -> None:
        self.name: str = name
        self.help: str = help
        self.labels: Labels = tuple(labels)
        self._bounds = tuple(sorted(buckets))
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[float]] = {}  # one for each bound, one above all, the sum

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count an observation."""
        at = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._bounds) + 2)
            counts[at] += 1
            counts[-1] += value

    def lines(self) -> Iterator[str]:
        """Yield the text of every bucket, sum and count."""
        with self._lock:
            copies = sorted((labels, list(counts)) for labels, counts in self._counts.items())
        for labels, (*counts, total) in copies:
            seen = 0.0
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                seen += count
                text = _labels((*self.labels, "le"), (*labels, _number(bound)))
                yield f"{self.name}_bucket{text} {_number(seen)}"
            yield f"{self.name}_sum{_labels(self.labels, labels)} {_number(total)}"
            yield f"{self.name}_count{_labels(self.labels, labels)} {_number(seen)}"


class _Collected:
    """A metric whose numbers are read at the moment they are asked for."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        kind: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[Sample]],
    ) -> None:
        self.name, self.help, self.kind, self.labels = name, help, kind, tuple(labels)
        self._read = read

    def lines(self) -> Iterator[str]:
        """Yield the text of what is read; nothing where it cannot be read now."""
        try:
            samples = sorted(self._read())
        except Exception:  # noqa: BLE001 (whatever is away: the other metrics must still be told)
            return
        for labels, value in samples:
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}"


M = TypeVar("M", bound=Counter | Histogram | _Collected)


class Metrics:
    """The metrics of a process, by name."""

    def __init__(self) -> None:
        self._all: dict[str, Counter | Histogram | _Collected] = {}

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002
        """Return a new counter; by convention its name ends in `_total`."""
        return self._add(Counter(name, help, labels))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002
        """Return a new gauge."""
        return self._add(Gauge(name, help, labels))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DURATION_BUCKETS_S,
    ) -> Histogram:
        """Return a new histogram, of seconds by default."""
        return self._add(Histogram(name, help, labels, buckets))

    def collect(
        self,
        name: str,
        help: str,  # noqa: A002
        read: Callable[[], Iterable[Sample]],
        labels: Sequence[str] = (),
        kind: str = "gauge",
    ) -> None:
        """Have a function asked for the numbers whenever they are told; where it raises, they are left out."""
        self._add(_Collected(name, help, kind, labels, read))

    def render(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        lines = []
        for metric in list(self._all.values()):
            lines += [f"# HELP {metric.name} {_escape(metric.help)}", f"# TYPE {metric.name} {metric.kind}"]
            lines += metric.lines()
        return ("\n".join(lines) + "\n").encode()

    def _add(self, metric: M) -> M:
        if not all(_NAME.fullmatch(name) for name in (metric.name, *metric.labels)):
            raise UsageError(
                f"metric `{metric.name}` cannot be", "a name is of [a-zA-Z0-9_]", "rename it or its labels"
            )
        if metric.name in self._all:
            raise UsageError(f"metric `{metric.name}` is there twice", "a name is given once", "keep the first")
        self._all[metric.name] = metric
        return metric


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escape(value, quotes=True)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
