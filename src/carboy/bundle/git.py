"""What git knows of a project: its commit and when it was made."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from carboy.errors import CarboyError

__all__ = ["commit_of"]


def commit_of(folder: Path) -> tuple[str, str, bool]:
    """Return the hash of a folder's commit, the commit's time in UTC (RFC 3339), and whether files have changed since.

    Raises:
        CarboyError: the folder is in no repository, or git is not installed.
    """
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), "log", "-1", "--format=%H %ct"], capture_output=True, text=True, check=False
        )
        changed = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise _no_commit("git is not installed") from error
    if ran.returncode:
        raise _no_commit(ran.stderr.strip() or "git failed")
    commit, _, seconds = ran.stdout.strip().partition(" ")
    made_at = datetime.fromtimestamp(int(seconds), UTC)
    return commit, made_at.strftime("%Y-%m-%dT%H:%M:%SZ"), bool(changed.stdout.strip())


def _no_commit(why: str) -> CarboyError:
    return CarboyError("the build information cannot be written", why, "commit first, or leave --inject-build-info out")
