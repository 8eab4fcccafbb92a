"""Hosts for tests: network namespaces on one bridge, whose cables can be pulled.

A pulled cable loses packets without a sign: nothing is refused and nothing is reset, so that only timeouts notice.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from carboy.testing.processes.running import MissingBinary, ServerProcess, missing, run_process

__all__ = ["Host", "Network", "network"]

_NAME = re.compile(r"cb(\d+)[hn]\d+")
_networks = count()


@dataclass
class Host:
    """A network namespace with one cable.

    Attributes:
        name: of the namespace.
        address: its own.
    """

    name: str
    address: str
    _bridge: str
    _stack: ExitStack = field(default_factory=ExitStack)

    def run(
        self,
        *words: str,
        says: str,
        folder: Path,
        environ: Mapping[str, str] | None = None,
        start_timeout_s: float = 60.0,
    ) -> ServerProcess:
        """Run a command here until the network ends; wait until it writes a text.

        Args:
            words: the command.
            says: a text of its output that shows that it is ready.
            folder: an own one of this process: its log is there.
            environ: variables beside those of this process.
            start_timeout_s: how long to wait for it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return self._stack.enter_context(
            run_process(
                ["ip", "netns", "exec", self.name, *words],
                ready=says,
                folder=folder,
                environment=environ,
                start_timeout_s=start_timeout_s,
            )
        )

    def cut(self) -> None:
        """Pull the cable: from now on every packet is lost, both ways."""
        _ip("link", "set", f"{self.name}x", "nomaster")

    def join(self) -> None:
        """Put the cable back."""
        _ip("link", "set", f"{self.name}x", "master", self._bridge)

    def kill(self) -> None:
        """End all that runs here at once, and pull the cable, as when the power fails."""
        self.cut()
        self._kill()

    def close(self) -> None:
        """End all that runs here and remove the namespace."""
        self._kill()
        with contextlib.suppress(RuntimeError):
            self._stack.close()
        _quietly("link", "del", f"{self.name}x")
        _quietly("netns", "del", self.name)

    def _kill(self) -> None:
        for pid in _quietly("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@dataclass
class Network:
    """A bridge of this machine and the hosts on it.

    Attributes:
        address: this machine's own on it; servers for the hosts listen there.
    """

    address: str
    _bridge: str
    _hosts: list[Host] = field(default_factory=list)

    def host(self) -> Host:
        """Add a host."""
        number = len(self._hosts) + 2
        made = Host(
            self._bridge.replace("n", f"h{number}", 1), f"{self.address.rpartition('.')[0]}.{number}", self._bridge
        )
        self._hosts.append(made)
        inside, outside = f"{made.name}i", f"{made.name}x"
        _ip("netns", "add", made.name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", made.name)
        _ip("link", "set", outside, "master", self._bridge, "up")
        _ip("-n", made.name, "link", "set", "lo", "up")
        _ip("-n", made.name, "addr", "add", f"{made.address}/24", "dev", inside)
        _ip("-n", made.name, "link", "set", inside, "up")
        # who is where is written down: a cut must not be told by an address that nobody answers to
        _ip(
            "neigh", "replace", made.address, "lladdr", _mac(inside, made.name), "dev", self._bridge, "nud", "permanent"
        )
        ours = _mac(self._bridge)
        _ip("-n", made.name, "neigh", "replace", self.address, "lladdr", ours, "dev", inside, "nud", "permanent")
        return made

    def close(self) -> None:
        """Remove everything, in any state."""
        for one in self._hosts:
            one.close()
        _quietly("link", "del", self._bridge)


@contextmanager
def network() -> Iterator[Network]:
    """Make a network for the length of the block; what an earlier one of a dead process left behind is removed.

    Raises:
        MissingBinary: there is no `ip`, or this process is not root.
    """
    if shutil.which("ip") is None:
        missing("ip", "apt-get install --no-install-recommends iproute2")
    if os.geteuid() != 0:
        raise MissingBinary("network namespaces cannot be made", "this process is not root", "run the tests as root")
    _remove_leftovers()
    name = f"cb{os.getpid()}n{next(_networks)}"
    made = Network(_free_address(), name)
    try:
        # an address of its own, which does not change with the hosts that come and go
        _ip("link", "add", name, "address", f"02:cb:{random.randbytes(4).hex(':')}", "type", "bridge")
        _ip("addr", "add", f"{made.address}/24", "dev", name)
        _ip("link", "set", name, "up")
        yield made
    finally:
        made.close()


def _free_address() -> str:
    taken = _ip("-4", "-o", "addr")
    while True:
        prefix = f"10.{random.randrange(64, 250)}.{random.randrange(1, 250)}."
        if f" {prefix}" not in taken:
            return f"{prefix}1"


def _remove_leftovers() -> None:
    listed = _ip("netns", "list").split() + re.findall(r"cb\d+[hn]\d+", _ip("-o", "link"))
    names = {one for one in listed if (found := _NAME.fullmatch(one)) and not Path(f"/proc/{found[1]}").exists()}
    for one in sorted(names):
        Host(one, "", "").close()
        _quietly("link", "del", one)


def _mac(device: str, namespace: str = "") -> str:
    shown = _ip(*(("-n", namespace) if namespace else ()), "link", "show", "dev", device)
    found = re.search(r"link/ether (\S+)", shown)
    assert found, shown
    return found[1]


def _ip(*words: str) -> str:
    return _run(words, check=True)


def _quietly(*words: str) -> str:
    return _run(words, check=False)


def _run(words: Sequence[str], *, check: bool) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode != 0:
        raise RuntimeError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
