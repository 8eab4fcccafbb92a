"""Forked children, as gunicorn's `--preload` makes them."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

__all__ = ["exit_code", "start_child"]


def start_child(work: Callable[[], object]) -> int:
    """Fork a child that does this work and nothing else, for at most 60 s; return its process id.

    Coverage does not measure the child: another thread may hold the measurement's lock at the fork.

    Args:
        work: returns False where it finds something wrong.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    child = os.fork()
    if child:
        sys.settrace(tracer)
        return child
    code = 1
    try:
        threading.settrace(None)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        code = 1 if work() is False else 0
    except BaseException:  # noqa: BLE001
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    """Wait for the child; return 0 when its work was done."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
