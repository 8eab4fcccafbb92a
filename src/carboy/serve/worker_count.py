"""Several processes on one listening socket: start them, replace one that dies, stop all."""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError
from carboy.serve.signals import StopSignals

__all__ = ["end_with_parent", "run_workers"]

_PR_SET_PDEATHSIG = 1
_QUICK_DEATH_S = 5.0
_MAX_QUICK_DEATHS = 3
_HOPELESS = {2, 3}  # misused, wrongly configured: another try ends alike


def run_workers(
    amount: int,
    work: Callable[[int], None],
    *,
    before_stop: Callable[[], None],
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Run `work(number)` in each of that many forked processes until a signal asks for a stop.

    A process that dies is replaced. When one finds itself misused or wrongly configured, or when they keep dying right
    after their start, all are stopped.

    Args:
        amount: how many processes.
        work: what each does; it comes back after SIGTERM. Numbers count from 0, a replacement gets a new one.
        before_stop: called when all are about to be stopped; not where one ends that is replaced.
        clock: tells the time.

    Raises:
        CarboyError: processes keep dying.
        SystemExit: with the code of one that could not begin.
    """
    pids: dict[int, float] = {}
    quick_deaths = 0
    with StopSignals(force=lambda: _signal_all(pids, signal.SIGKILL)) as signals:
        number = amount - 1
        for one in range(amount):
            pids[_fork(one, work)] = clock.monotonic_s()
        while not signals.wait():
            for pid, code in _ended(pids):
                if code in _HOPELESS:
                    del pids[pid]
                    _stop(pids)
                    raise SystemExit(code)  # it said why
                lived_s = clock.monotonic_s() - pids.pop(pid)
                quick_deaths = quick_deaths + 1 if lived_s < _QUICK_DEATH_S else 0
                logging.getLogger(__name__).error("worker_died", extra={"pid": pid, "lived_s": round(lived_s, 1)})
                if quick_deaths >= _MAX_QUICK_DEATHS:
                    _stop(pids)
                    raise CarboyError("the workers were stopped", "they keep dying at their start", "see the log")
                number += 1
                pids[_fork(number, work)] = clock.monotonic_s()
        before_stop()
        _stop(pids)


def _fork(number: int, work: Callable[[int], None]) -> int:
    parent = os.getpid()
    handled = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)  # until the child has left the parent's handlers
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all: the parent decides
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        end_with_parent(parent)
        work(number)
        code = 0
    except CarboyError as error:
        if number == 0 or error.exit_code not in _HOPELESS:
            sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        code = error.exit_code
    except BaseException:
        logging.getLogger(__name__).exception("worker_failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end_with_parent(parent: int) -> None:
    """Have the kernel stop this process when its parent is killed, so that none is left over."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _ended(pids: dict[int, float]) -> list[tuple[int, int]]:
    """Return the processes that ended, with their exit codes."""
    found = []
    for pid in list(pids):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _stop(pids: dict[int, float]) -> None:
    _signal_all(pids, signal.SIGTERM)
    for pid in list(pids):
        os.waitpid(pid, 0)
        del pids[pid]


def _signal_all(pids: dict[int, float], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)
