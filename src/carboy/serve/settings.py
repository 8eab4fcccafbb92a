"""The settings of the server side: how long a client may take, and how long a stop."""

from dataclasses import dataclass
from typing import Literal

from carboy.config import setting


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Limits on slow clients, and the time that a stop takes."""

    keepalive_s: float = setting(
        75.0, "how long a kept connection may be silent; longer than the load balancer's own patience", unit="s"
    )
    header_timeout_s: float = setting(
        10.0, "how long a client may take to send its headers; then it is answered 408", unit="s", least=0.01
    )
    body_timeout_s: float = setting(
        30.0,
        "how long a body may take to arrive, then it is answered 408; and how long a client may read nothing",
        unit="s",
        least=0.01,
    )
    max_connections: int = setting(
        1024, "connections kept at once by a process; a further one takes the place of the longest silent", least=1
    )
    worker_cpu_affinity: Literal["off", "auto"] = setting(
        "off", "`auto`: each worker stays on one CPU; for a machine that serves nothing else"
    )
    drain_s: float = setting(
        30.0, "how long a stop waits for open requests; the jobs have `JOBS_DRAIN_S` after that", unit="s"
    )
    drain_linger_s: float = setting(
        0.5, "how long a stopping server still answers on kept connections, asking each to close", unit="s"
    )
