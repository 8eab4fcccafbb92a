"""Choose a CPU for each worker process.

One interpreter runs one thread at a time. Where its threads are spread over CPUs, each lock that is passed on wakes a
thread elsewhere, which finds the interpreter taken again; on one CPU they take turns.
"""

import os
import sys
from collections.abc import Sequence

from carboy.errors import ConfigurationError


def available_cpus() -> list[int]:
    """Return the CPUs that this process may use.

    Raises:
        ConfigurationError: the system does not let a process choose.
    """
    if sys.platform != "linux":
        raise ConfigurationError(
            "WORKER_CPU_AFFINITY cannot be `auto`", "only Linux lets a process choose its CPU", "leave it `off`"
        )
    return sorted(os.sched_getaffinity(0))


def choose_cpu(cpus: Sequence[int], taken: Sequence[int | None]) -> int:
    """Return the first of the CPUs that the fewest others have."""
    return min(cpus, key=taken.count)
