"""The folder in which the workers of one instance count together: prometheus-client's multiprocess mode.

The process that starts the workers makes the folder. Each worker holds the lock of a file of its own for as long as it
lives, so that a dead one is known without a hook of the web server: its gauges are dropped, and its counters are added
to one file, which keeps the folder small however often workers are replaced.
"""

import atexit
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from carboy.config.environ import read_environ, write_environ
from carboy.logs import BoundLogger, get_logger
from carboy.private_folders import make_private_folder

if TYPE_CHECKING:
    from prometheus_client import Metric

log: BoundLogger = get_logger("carboy.web")

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "carboy-metrics-"
_OWNER = "owner"  # locked while a process of the instance lives
_ADDED = ("counter", "histogram", "summary")  # kinds whose numbers of dead workers go on counting

_owned: list[IO[str]] = []
_marks: list[tuple[Path, IO[str]]] = []


def share_metrics() -> None:
    """Have the workers that this process starts count together; call it before the application is imported.

    The folder is that of `PROMETHEUS_MULTIPROC_DIR`, emptied, where no other instance uses it; otherwise a new one,
    removed when the process ends. Nothing happens without prometheus-client. A second call changes nothing.
    """
    if _owned or find_spec("prometheus_client") is None:
        return
    given = read_environ().get(_VARIABLE)
    try:
        folder = Path(given) if given and _own(Path(given)) else _make_folder()
    except OSError as error:
        log.warning("metrics_not_shared", why=str(error), hint="each worker serves its own numbers: make room in /tmp")
        return
    write_environ(_VARIABLE, str(folder))
    values: Any = sys.modules.get("prometheus_client.values")
    if values is not None:  # what is declared from now on is shared
        values.ValueClass = values.MultiProcessValue()


class SharedFiles:
    """The files of all workers, as one of them reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not _marks:
            os.register_at_fork(after_in_child=lambda: _mark(folder))
        _mark(folder)

    @classmethod
    def open(cls) -> "SharedFiles | None":
        """Return the folder of this instance; None where one process counts alone."""
        folder = read_environ().get(_VARIABLE)
        return cls(Path(folder)) if folder and Path(folder).is_dir() else None

    def collect(self) -> "list[Metric]":
        """Return what all workers have counted, the dead ones too."""
        multiprocess = _untyped("multiprocess")
        with locked(self.folder / "scrape"):  # one at a time
            self._bury()
            return list(multiprocess.MultiProcessCollector(None, str(self.folder)).collect())

    def live_pids(self) -> list[int]:
        """Return the processes that count, this one included."""
        return [int(mark.stem) for mark in self.folder.glob("*.worker") if _is_locked(mark)]

    def _bury(self) -> None:
        """Drop the gauges of dead workers and add up their counters."""
        for mark in self.folder.glob("*.worker"):
            if not _is_locked(mark):
                pid = int(mark.stem)
                _untyped("multiprocess").mark_process_dead(pid, str(self.folder))
                for kind in _ADDED:
                    _add_to(self.folder / f"{kind}_0.db", self.folder / f"{kind}_{pid}.db")
                mark.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, whatever the time until it is free; it is free when the process ends."""
    with open(path, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mark(folder: Path) -> None:
    """Hold the lock of this process's own file from now on.

    The file gets its name when it is locked, and stays locked: for a scrape, an unlocked one is that of a dead worker.
    """
    path = folder / f"{os.getpid()}.worker"
    if any(known == path for known, _ in _marks) and path.exists():
        return
    for _, mark in _marks:
        mark.close()
    _marks.clear()
    with suppress(OSError):
        fresh = path.with_suffix(".new")
        mark = open(fresh, "a", encoding="ascii")  # noqa: SIM115 (it stays open)
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.replace(path)
        _marks.append((path, mark))


def _is_locked(path: Path) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # somebody holds it, or no file can be opened now
        return True
    return False


def _add_to(total: Path, part: Path) -> None:
    """Add the numbers of one file to those of another, and remove it."""
    if not part.exists():
        return
    MmapedDict = _untyped("mmap_dict").MmapedDict  # noqa: N806 (a class)
    sums: dict[str, float] = {}
    for path in (total, part):
        if path.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                sums[key] = sums.get(key, 0.0) + value
    fresh = total.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    written = MmapedDict(str(fresh))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    fresh.replace(total)
    part.unlink()


def _own(folder: Path) -> bool:
    """Take a folder for this instance and empty it; False where another instance lives in it."""
    make_private_folder(folder)
    owner = open(folder / _OWNER, "a", encoding="ascii")  # noqa: SIM115 (it stays open)
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner.close()
        return False
    _owned.append(owner)
    for path in _files(folder):
        path.unlink(missing_ok=True)
    return True


def _make_folder() -> Path:
    """Return a new folder, in memory where possible, and remove those that killed instances left."""
    for parent in ("/dev/shm", tempfile.gettempdir()):  # noqa: S108 (the folder in it is made for this user alone)
        if not os.access(parent, os.W_OK | os.X_OK):
            continue
        for left in Path(parent).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if left.stat().st_uid == os.getuid() and not _is_locked(left / _OWNER):
                    shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        _own(folder)
        atexit.register(_remove, folder, os.getpid())
        return folder
    raise OSError("no folder for temporary files can be written")


def _untyped(name: str) -> Any:
    return import_module(f"prometheus_client.{name}")


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # the workers inherit what is called at the end
        shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> Iterable[Path]:
    return [*folder.glob("*.db"), *folder.glob("*.worker"), *folder.glob("*.new")]
