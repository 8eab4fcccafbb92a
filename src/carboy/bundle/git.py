"""The commit of a project and its time, as git has them."""

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from carboy.config.environ import read_environ
from carboy.errors import CarboyError


def commit_of(folder: Path) -> tuple[str, str, bool]:
    """Return the hash of a folder's commit, the commit's time in UTC (RFC 3339), and whether files have changed since.

    `CIRCLE_SHA1`, where it is set, is the hash; where there is no commit beside it, the time is that of
    `SOURCE_DATE_EPOCH`, or the present.

    Raises:
        CarboyError: there is neither a commit nor `CIRCLE_SHA1`.
    """
    environ = read_environ()
    given = environ.get("CIRCLE_SHA1")
    try:
        commit, seconds, is_changed = _ask_git(folder)
    except CarboyError:
        if not given:
            raise
        commit, seconds, is_changed = given, int(environ.get("SOURCE_DATE_EPOCH") or time.time()), False
    made_at = datetime.fromtimestamp(seconds, UTC)
    return given or commit, made_at.strftime("%Y-%m-%dT%H:%M:%SZ"), is_changed


def _ask_git(folder: Path) -> tuple[str, int, bool]:
    git = ["git", "-C", str(folder)]
    try:
        ran, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=False)
            for words in (
                ("log", "-1", "--format=%H %ct"),
                ("status", "--porcelain", "--untracked-files=no", "."),
            )
        )
    except FileNotFoundError as error:
        raise _no_commit("git is not installed") from error
    if ran.returncode:
        raise _no_commit(ran.stderr.strip() or "git failed")
    commit, _, seconds = ran.stdout.strip().partition(" ")
    return commit, int(seconds), bool(changed.stdout.strip())


def _no_commit(why: str) -> CarboyError:
    return CarboyError("the build information cannot be written", why, "commit first, or leave --inject-build-info out")
