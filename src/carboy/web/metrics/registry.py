"""The façade of the metrics: counters, gauges and histograms that load prometheus-client when they are first used.

The values of a metric's labels come from a small set (routes, states), never from what a caller sends. On AWS Lambda,
and without the extra `metrics`, everything here does nothing.
"""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from carboy.config.environ import read_environ
from carboy.errors import UsageError

if TYPE_CHECKING:
    from carboy.web.metrics.prometheus import Prometheus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[str, ...]
Sample = tuple[Labels, float]
"""The values of a metric's labels, in their order, and its value."""

Merge = Literal["livesum", "livemax", "livemin", "liveall", "mostrecent"]
"""How a gauge's values of several workers become one; as prometheus-client's `multiprocess_mode`."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class _Metric:
    """A metric by its declaration; its numbers are prometheus-client's, one child for each combination of labels."""

    kind: ClassVar[str]
    is_collected: ClassVar[bool] = False

    def __init__(self, metrics: "Metrics", name: str, help: str, labels: Sequence[str], **options: Any) -> None:  # noqa: A002
        self.name: str = name
        self.help: str = help
        self.labels: Labels = tuple(labels)
        self.options = options
        self._metrics = metrics
        self._children: dict[Labels, Any] = {}

    def _child(self, labels: Labels) -> Any:
        found = self._children.get(labels)
        if found is None:
            backend = self._metrics.backend
            found = self._children[labels] = _NULL if backend is None else backend.child(self, labels)
        return found


class Counter(_Metric):
    """A number that only grows, one for each combination of label values."""

    kind = "counter"

    def inc(self, labels: Labels = (), by: float = 1.0) -> None:
        """Add to the number of these label values; `by` is not negative."""
        self._child(labels).inc(by)

    def value(self, labels: Labels = ()) -> float:
        """Return the number of these label values in this process."""
        backend = self._metrics.backend
        return 0.0 if backend is None else backend.value(self, labels)


class Gauge(Counter):
    """A number that goes up and down, one for each combination of label values."""

    kind = "gauge"

    def set(self, value: float, labels: Labels = ()) -> None:
        """Set the number of these label values."""
        self._child(labels).set(value)


class Histogram(_Metric):
    """Observations counted by size, with their sum, for each combination of label values."""

    kind = "histogram"

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count an observation."""
        self._child(labels).observe(value)


class Collected(_Metric):
    """A metric whose numbers are read when it is scraped, once for all workers."""

    kind = "gauge"
    is_collected = True

    def __init__(
        self,
        metrics: "Metrics",
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str],
        *,
        kind: str,
        read: Callable[[], Iterable[Sample]],
    ) -> None:
        super().__init__(metrics, name, help, labels)
        vars(self)["kind"] = kind
        self._read = read

    def samples(self) -> list[Sample]:
        """Return what is read; nothing where it cannot be read now."""
        try:
            return sorted(self._read())
        except Exception:  # noqa: BLE001 (what it reads from may be unavailable; the other metrics are served)
            return []


class _NoMetric:
    """Takes every number and keeps none."""

    def _nothing(self, *_: object) -> None:
        """Do nothing."""

    inc = set = observe = _nothing


_NULL = _NoMetric()
M = TypeVar("M", bound=_Metric)


class Metrics:
    """The metrics of an application, by name; the numbers are those of all workers of this instance."""

    def __init__(self) -> None:
        self._all: dict[str, _Metric] = {}
        self._lock = threading.Lock()
        self._backend: Prometheus | None = None
        self._is_off: bool | None = None

    @property
    def is_off(self) -> bool:
        """Whether nothing is counted: on AWS Lambda, and where prometheus-client is not installed."""
        if self._is_off is None:
            on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in read_environ()
            self._is_off = on_lambda or find_spec("prometheus_client") is None
        return self._is_off

    @property
    def backend(self) -> "Prometheus | None":
        """The registry of prometheus-client, loaded at the first use; None where metrics are off."""
        if self._backend is None and not self.is_off:
            with self._lock:
                if self._backend is None:
                    from carboy.web.metrics.prometheus import Prometheus

                    made = Prometheus()
                    for metric in self._all.values():
                        made.declare(metric)
                    self._backend = made
        return self._backend

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002
        """Return a new counter; by convention its name ends in `_total`."""
        return self._add(Counter(self, name, help, labels))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        merge: Merge = "livesum",
    ) -> Gauge:
        """Return a new gauge.

        Args:
            name: as Prometheus knows it.
            help: what it counts, in a sentence.
            labels: the names of its labels.
            merge: how the values of several workers become one; those of a worker that ended count in `mostrecent`
                alone, whose gauge can be set and not incremented.
        """
        return self._add(Gauge(self, name, help, labels, multiprocess_mode=merge))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DURATION_BUCKETS_S,
    ) -> Histogram:
        """Return a new histogram, of seconds by default."""
        return self._add(Histogram(self, name, help, labels, buckets=sorted(buckets)))

    def collect(
        self,
        name: str,
        help: str,  # noqa: A002
        read: Callable[[], Iterable[Sample]],
        labels: Sequence[str] = (),
        kind: Literal["gauge", "counter"] = "gauge",
    ) -> None:
        """Add a metric whose numbers a function reads at each scrape; where it raises, they are left out.

        With several workers the one that is scraped reads: let the function read what they share, such as a database.
        """
        self._add(Collected(self, name, help, labels, kind=kind, read=read))

    def render(self) -> bytes:
        """Return the text for Prometheus, with the metrics of prometheus-client's default registry; empty when off."""
        return b"" if self.backend is None else self.backend.render()

    def _add(self, metric: M) -> M:
        if not all(_NAME.fullmatch(name) for name in (metric.name, *metric.labels)):
            raise UsageError(
                f"invalid name of the metric `{metric.name}` or of its labels",
                "a name has letters, digits and `_`, and begins with no digit",
                "rename it",
            )
        with self._lock:
            if metric.name in self._all:
                raise UsageError(f"metric `{metric.name}` is declared twice", "names are unique", "keep the first")
            self._all[metric.name] = metric
            if self._backend is not None:
                self._backend.declare(metric)
        return metric
