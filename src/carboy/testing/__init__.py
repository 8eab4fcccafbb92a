"""The test kit: what Carboy is tested with, and what its users test with. Nothing in the product imports it.

Names are loaded when they are first asked for: pytest imports this folder at every start, for its plugin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.testing.answers import (
        Answer,
        Cut,
        Drip,
        Hold,
        Raw,
        Request,
        Stall,
        come_back_later,
        json_answer,
        redirect,
    )
    from carboy.testing.certificate_authority import make_ca
    from carboy.testing.clock import ManualClock
    from carboy.testing.http_server import LoopbackServer, closed_port, deaf_port, silent_port
    from carboy.testing.ports import free_port
    from carboy.testing.serving import ServeProcess, serve_process
    from carboy.testing.udp import UdpListener

__all__ = [
    "Answer",
    "Cut",
    "Drip",
    "Hold",
    "LoopbackServer",
    "ManualClock",
    "Raw",
    "Request",
    "ServeProcess",
    "Stall",
    "UdpListener",
    "closed_port",
    "come_back_later",
    "deaf_port",
    "free_port",
    "json_answer",
    "make_ca",
    "redirect",
    "serve_process",
    "silent_port",
]

_MODULES = {
    "answers": {
        "Answer",
        "Cut",
        "Drip",
        "Hold",
        "Raw",
        "Request",
        "Stall",
        "come_back_later",
        "json_answer",
        "redirect",
    },
    "clock": {"ManualClock"},
    "http_server": {"LoopbackServer", "closed_port", "deaf_port", "silent_port"},
    "ports": {"free_port"},
    "serving": {"ServeProcess", "serve_process"},
    "certificate_authority": {"make_ca"},
    "udp": {"UdpListener"},
}


def __getattr__(name: str) -> Any:  # and not `carboy.lazy`: coverage has to see the product's modules loaded
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
