"""Fleece's `profiling`: where the time of a Lambda handler goes, by Python's own profiler."""

from collections.abc import Callable, Sequence
from cProfile import Profile
from functools import wraps
from pstats import Stats
from typing import Any

from carboy.fleece import log
from carboy.jitter import SYSTEM_RANDOM

__all__ = ["DEFAULT_FILTER", "DEFAULT_LIMIT", "DEFAULT_LOGGER", "PROFILE_SAMPLE", "profile_handler"]

DEFAULT_LOGGER = log.get_logger("profiler")
PROFILE_SAMPLE = 0.5
DEFAULT_FILTER = ["/var/task/"]
DEFAULT_LIMIT = 20


def profile_handler(
    sample: float = PROFILE_SAMPLE,
    stats_filter: Sequence[str] | None = None,
    stats_limit: int = DEFAULT_LIMIT,
    logger: Any = DEFAULT_LOGGER,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that logs `Profiling completed` for a part of a handler's calls.

    Args:
        sample: the part, from 0 to 1.
        stats_filter: only functions whose file has one of these in its path; by default those of the package.
        stats_limit: how many of them, those with most time first.
        logger: who logs.
    """
    paths = tuple(stats_filter or DEFAULT_FILTER)

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(event: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
            if SYSTEM_RANDOM.random() >= sample:
                return function(event, context, *args, **kwargs)
            profile = Profile()
            try:
                return profile.runcall(function, event, context, *args, **kwargs)
            finally:
                (logger or DEFAULT_LOGGER).info(
                    "Profiling completed", lambda_event=event, **_summary(profile, paths, stats_limit)
                )

        return wrapper

    return decorator


def _summary(profile: Profile, paths: tuple[str, ...], limit: int) -> dict[str, Any]:
    stats: Any = Stats(profile)
    rows = [
        {
            "ncalls": calls,
            "tottime": round(own_s, 6),
            "cumtime": round(whole_s, 6),
            "filename": path,
            "lineno": line,
            "function": name,
        }
        for (path, line, name), (_, calls, own_s, whole_s, _) in stats.stats.items()
        if any(part in path for part in paths)
    ]
    rows.sort(key=lambda row: -row["cumtime"])
    return {
        "profiling_data": rows[:limit],
        "total_calls": stats.total_calls,
        "primitive_calls": stats.prim_calls,
        "total_time": round(stats.total_tt, 6),
    }
