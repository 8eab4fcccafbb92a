"""The commit of a project and its time, as git has them."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from carboy.config.environ import read_environ
from carboy.errors import CarboyError


def commit_of(folder: Path) -> tuple[str, str, bool]:
    """Return the hash of a folder's commit, the commit's time in UTC (RFC 3339), and whether files have changed since.

    `CIRCLE_SHA1`, where it is set, is the hash.

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
    return (
        read_environ().get("CIRCLE_SHA1") or commit,
        made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        bool(changed.stdout.strip()),
    )


def _no_commit(why: str) -> CarboyError:
    return CarboyError("the build information cannot be written", why, "commit first, or leave --inject-build-info out")
