"""Name the owner of a lease so that another process on the same machine can check whether it lives."""

import os
import secrets
import socket
from pathlib import Path


def make_owner() -> str:
    """Return a name for this process: host, process namespace, process id, its start, and a random end."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid)}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Return whether the process of that name is known to have ended; False where that cannot be known from here."""
    machine, pid, started, _ = owner.rsplit(":", 3) if owner.count(":") >= 3 else ("", "", "", "")
    return machine == _machine() and bool(started) and pid.isdigit() and _started(int(pid)) != started


def _machine() -> str:
    """Return the host and process namespace; containers that share a host name differ in the second."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{socket.gethostname()[:64]}:{namespace}"


def _started(pid: int) -> str:
    """Return a process's start time in clock ticks since boot; empty if it does not exist or is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if not Path("/proc/self/stat").exists() else "dead"
    return "dead" if stat[0] in {"Z", "X"} else stat[19]
