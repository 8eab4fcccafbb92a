"""The numbers behind the façade: prometheus-client's registry, and the text of all workers together."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from carboy.db import fail_fast
from carboy.errors import UsageError
from carboy.logs import BoundLogger, get_logger
from carboy.web.metrics.shared_files import SharedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import Metric

Labels = tuple[str, ...]

log: BoundLogger = get_logger("carboy.web")


class Prometheus:
    """The metrics of one application in a registry of their own."""

    def __init__(self) -> None:
        import prometheus_client as library

        self._library = library
        self._registry = library.CollectorRegistry()
        self._made: dict[str, Any] = {}
        self._collected: list[Any] = []
        self._shared = SharedFiles.open()
        # of the process and the platform the library's collectors know this worker only
        builtin = (library.PROCESS_COLLECTOR, library.PLATFORM_COLLECTOR, library.GC_COLLECTOR)
        self._builtin = {family.name for collector in builtin for family in collector.collect()}

    @property
    def folder(self) -> "Path | None":
        """Where the workers of this instance count together; None where one process counts alone."""
        return None if self._shared is None else self._shared.folder

    def live_pids(self) -> list[int]:
        """Return the processes of this instance that count."""
        return [os.getpid()] if self._shared is None else self._shared.live_pids()

    def declare(self, metric: Any) -> None:
        """Add a metric of the façade."""
        if metric.is_collected:
            self._collected.append(metric)
            return
        kinds: dict[str, Callable[..., Any]] = {
            "counter": self._library.Counter,
            "gauge": self._library.Gauge,
            "histogram": self._library.Histogram,
        }
        try:
            made = kinds[metric.kind](
                metric.name, metric.help, metric.labels, registry=self._registry, **metric.options
            )
        except ValueError as error:  # `le` as a label, or a name that another's suffix makes
            why = str(error)
            raise UsageError(f"metric `{metric.name}` cannot be declared", why, "rename it or its labels") from error
        self._made[metric.name] = made

    def child(self, metric: Any, labels: "Labels") -> Any:
        """Return the numbers of these label values."""
        made = self._made[metric.name]
        return made.labels(*labels) if metric.labels else made

    def value(self, metric: Any, labels: "Labels") -> float:
        """Return the number of these label values in this process, 0 if never set."""
        name = metric.name
        if metric.kind == "counter" and not name.endswith("_total"):
            name += "_total"
        return self._registry.get_sample_value(name, dict(zip(metric.labels, labels, strict=True))) or 0.0

    def render(self) -> bytes:
        """Return the text format 0.0.4; of two families of one name the first counts."""
        families: dict[str, Metric] = {}
        counted = () if self._shared is None else self._shared.collect()  # what all workers have counted together
        for family in chain(counted, self._read(), self._own(), self._users()):
            families.setdefault(family.name, family)
        return self._library.generate_latest(_Families(sorted(families.values(), key=lambda one: one.name)))

    def _read(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with fail_fast():
            for metric in self._collected:
                make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                family = make(metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.samples():
                    family.add_metric(labels, value)
                yield family

    def _own(self) -> "Iterator[Metric]":
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family

    def _users(self) -> "Iterator[Metric]":
        """Yield the metrics of the default registry, where users of prometheus-client have theirs."""
        try:
            yield from (one for one in self._library.REGISTRY.collect() if one.name not in self._builtin)
        except Exception as error:  # noqa: BLE001 (a collector of the user's: the other metrics are served)
            log.warning("metrics_collector_failed", error=type(error).__name__, why=str(error))


class _Families:
    """What `generate_latest` takes for a registry."""

    def __init__(self, families: "Iterable[Metric]") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        return self._families
