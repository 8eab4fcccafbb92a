"""What the workers of an instance use together, under the names of prometheus-client's ProcessCollector."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from carboy.web.metrics.registry import Metrics, Sample

_UTIME, _STIME, _CUTIME, _CSTIME, _THREADS, _STARTED, _RSS = 11, 12, 13, 14, 17, 19, 21
"""Places in `/proc/<pid>/stat` after the name, from proc_pid_stat(5): fields 14 to 17, 20, 22 and 24."""


def collect_processes(metrics: Metrics) -> None:
    """Add memory, threads, processor time and start of the workers; no values where there is no `/proc`."""

    def read(value: Callable[[list[list[int]]], float]) -> Callable[[], list[Sample]]:
        return lambda: [((), float(value(found))) for found in [_stats(metrics)] if found]

    memory = read(lambda found: sum(one[_RSS] for one in found) * os.sysconf("SC_PAGE_SIZE"))
    threads = read(lambda found: sum(one[_THREADS] for one in found))
    cpu = read(lambda found: (sum(map(_cpu, found)) + _cpu_of_ended(metrics)) / os.sysconf("SC_CLK_TCK"))
    start = read(lambda found: _boot_time_s() + min(one[_STARTED] for one in found) / os.sysconf("SC_CLK_TCK"))
    metrics.collect("process_resident_memory_bytes", "Resident memory of all workers.", memory)
    metrics.collect("process_threads", "Threads of all workers.", threads)
    metrics.collect("process_cpu_seconds_total", "Processor time of all workers, ended ones too.", cpu, kind="counter")
    metrics.collect("process_start_time_seconds", "Start of the oldest worker, in seconds since 1970.", start)


def _cpu(stat: list[int]) -> int:
    return stat[_UTIME] + stat[_STIME]


def _cpu_of_ended(metrics: Metrics) -> int:
    """Return the time of workers that ended, which their parent has waited for; 0 where there is one process."""
    if metrics.backend is None or metrics.backend.folder is None:
        return 0
    return sum(stat[_CUTIME] + stat[_CSTIME] for stat in _read([os.getppid()]))


def _stats(metrics: Metrics) -> list[list[int]]:
    return _read(metrics.backend.live_pids()) if metrics.backend is not None else []


def _read(pids: Iterable[int]) -> list[list[int]]:
    found = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            found.append([0, *map(int, stat.rpartition(")")[2].split()[1:])])  # the name before may hold anything
    return found


def _boot_time_s() -> float:
    lines = Path("/proc/stat").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime "))
