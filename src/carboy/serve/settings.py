"""The settings of the server side: how long a client may take, and how long a stop."""

from dataclasses import dataclass
from typing import Literal

from carboy.config import setting


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Limits on slow clients, and the time that a stop takes."""

    keepalive_s: float = setting(
        75.0,
        "how long a kept-alive connection may be idle; set it longer than the load balancer's idle timeout",
        unit="s",
    )
    header_timeout_s: float = setting(
        10.0, "how long a client may take to send its headers before it is answered with 408", unit="s", least=0.01
    )
    body_timeout_s: float = setting(
        30.0,
        "how long a body may take to arrive before a 408, and how long a response may make no progress",
        unit="s",
        least=0.01,
    )
    max_connections: int = setting(
        1024, "connections per process; a further one replaces the one that has been idle longest", least=1
    )
    worker_cpu_affinity: Literal["off", "auto"] = setting(
        "off", "`auto`: pin each worker to one CPU; for a machine that serves nothing else"
    )
    drain_s: float = setting(
        30.0, "how long a stop waits for open requests; the jobs have `JOBS_DRAIN_S` after that", unit="s"
    )
    drain_linger_s: float = setting(
        0.5, "how long a stopping server still answers on kept-alive connections, asking each to close", unit="s"
    )
