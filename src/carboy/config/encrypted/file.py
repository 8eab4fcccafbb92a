"""Read and write files atomically, under a lock, and never over a concurrent change."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from carboy.config.encrypted.decrypt import load_text
from carboy.config.encrypted.keyring import KeyService
from carboy.errors import ConfigurationError

_LOCK_WAIT_S = 10.0


def load_stage(
    path: str | os.PathLike[str], stage: str, key_service: KeyService, *, allowed_keys: Sequence[str] = ()
) -> dict[str, object]:
    """Return the values of a stage in a closed file, decrypted by one call for each data key.

    Args:
        path: the closed file, of Fleece's form or sealed.
        stage: the stage's name.
        key_service: AWS KMS (`carboy.aws.connect_kms`), or what stands in for it.
        allowed_keys: ARNs or ids of the KMS keys, or numbers of the accounts, that may be used; empty for all.

    Raises:
        ConfigurationError: the file or the stage is wrong, or was tampered with; every fault is listed.
        UpstreamError: the key service refused or was unavailable.
    """
    data = read_file(Path(path))
    if data is None:
        raise ConfigurationError(
            f"`{os.fspath(path)}` cannot be read", "there is no such file", "correct the path (CONFIG_FILE)"
        )
    return load_text(data, os.fspath(path), stage, key_service, allowed_keys)


def read_file(path: Path) -> bytes | None:
    """Return a file's bytes; None for a missing file.

    Raises:
        ConfigurationError: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"`{path}` cannot be read", error.strerror or "the system refuses it", "check the path and its mode"
        ) from error


@contextmanager
def locked(path: Path, wait_s: float = _LOCK_WAIT_S) -> Iterator[None]:
    """Lock a file's folder for a block; the lock ends with the process.

    Raises:
        ConfigurationError: another process kept it all the time.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= until:
                    raise ConfigurationError(
                        f"`{path}` cannot be written", "another process is writing it", "try again when it has ended"
                    ) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(folder)


def write_whole(path: Path, data: bytes, before: bytes | None) -> None:
    """Replace a file at once, its mode kept; a failure leaves the old one as it was.

    Args:
        path: the file; a symbolic link is followed.
        data: its new bytes.
        before: the bytes it must still have; None when it must not be there.

    Raises:
        ConfigurationError: it changed meanwhile, or cannot be written.
    """
    path = Path(os.path.realpath(path))
    with locked(path):
        if read_file(path) != before:
            raise ConfigurationError(
                f"`{path}` was not written", "it changed meanwhile", "look at what changed, then do it again"
            )
        try:
            mode = path.stat().st_mode & 0o7777 if before is not None else 0o666 & ~_umask()
            _replace(path, data, mode)
        except OSError as error:
            raise _unwritable(path, error) from error


def write_private(path: Path, data: bytes) -> None:
    """Replace a file that only its owner reads (0600), in a folder that only its owner enters (0700)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):
        path.parent.chmod(0o700)
    _replace(path, data, 0o600)


def _replace(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):  # some file systems cannot sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"`{path}` cannot be written", error.strerror or "the system refuses it", "check its folder and its mode"
    )
