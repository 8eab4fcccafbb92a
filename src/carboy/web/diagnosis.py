"""Diagnosis of a running application: what each check finds, and what to do about it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK
from carboy.errors import CarboyError
from carboy.private_folders import make_private_folder

if TYPE_CHECKING:
    from carboy.config import Settings
    from carboy.web.runtime import Runtime

_LEAST_FREE_BYTES = 100_000_000
_MOST_OFF_S = 60.0  # of the five minutes after which AWS refuses what was signed


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check came out.

    Attributes:
        name: the part.
        ok: whether it can work.
        detail: what was found.
        hint: what to do; empty where nothing is.
        text: the detail with `%(name)s` for each of `facts`, to be translated; empty where it is not.
        facts: the values in the detail.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""
    text: str = ""
    facts: "dict[str, object]" = field(default_factory=dict)


def _found(name: str, text: str, hint: str = "", **facts: object) -> Finding:
    return Finding(name, True, text % facts, hint, text, facts)


def diagnose(runtime: "Runtime", *, asks_upstreams: bool = False) -> Iterator[Finding]:
    """Yield what each check of an application finds: AWS, instance folder, database, jobs, modules.

    Args:
        runtime: the application's.
        asks_upstreams: whether the modules' upstreams are asked too, such as SMS providers about their accounts.
    """
    yield from _aws(runtime.settings)
    yield _instance_folder(runtime)
    if "database" in runtime.checks:
        yield from _database(runtime)
    deeper = runtime.doctor_checks if asks_upstreams else {}
    for name, check in {**runtime.checks, **runtime.dependencies, **deeper}.items():
        if name != "database":
            with runtime.app.app_context():
                yield _ask(name, check)


def _ask(name: str, check: object) -> Finding:
    try:
        found = check()  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 (whatever a part's check raises is what it found)
        return failed(name, error)
    return Finding(name, ok=True, detail=found if isinstance(found, str) else "works")


def failed(name: str, error: Exception) -> Finding:
    """Return the finding of a check that raised an error."""
    hint = error.hint if isinstance(error, CarboyError) else ""
    return Finding(name, ok=False, detail=str(error) or type(error).__name__, hint=hint)


def compare_clocks(whose: str, there_ms: float) -> Finding:
    """Say how far this machine's time is from another's, in milliseconds since the epoch."""
    off_s = abs(SYSTEM_CLOCK.now_ms() - there_ms) / 1000
    hint = "" if off_s < _MOST_OFF_S else "have this machine take its time from the network (chrony, systemd-timesyncd)"
    return Finding("clock", ok=not hint, detail=f"{off_s:.0f} s from the time of {whose}", hint=hint)


def _aws(settings: "Settings") -> Iterator[Finding]:
    """Say as whom AWS is asked, where the settings come from it; they were read from there a moment ago."""
    followed = [one for one in settings.references if one.scheme.startswith("aws-")]
    opened = settings["CONFIG_FILE"]
    parameters = sum(entry.layer.startswith("Parameter Store") for entry in settings)
    if not (followed or opened or parameters or settings["DB_SECRET_NAME"]):
        return
    from carboy.aws import client

    try:
        answer = client("sts").get_caller_identity()
    except Exception as error:  # noqa: BLE001 (what it says is the finding)
        yield failed("aws", error)
        return
    yield Finding("aws", ok=True, detail=f"account {answer['Account']}, as {answer['Arn']}")
    if parameters or followed:
        found = f"{parameters} settings from Parameter Store, {len(followed)} references followed"
        yield Finding("secrets", ok=True, detail=found)
    if opened:
        yield Finding("kms", ok=True, detail=f"it opened {opened}")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date:
        yield compare_clocks("AWS", parsedate_to_datetime(date).timestamp() * 1000)


def _instance_folder(runtime: "Runtime") -> Finding:
    folder = Path(runtime.settings["INSTANCE_PATH"])
    try:
        make_private_folder(folder)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        hint = "make it writable for this user, or set INSTANCE_PATH"
        return Finding("instance folder", ok=False, detail=f"{folder}: {error.strerror}", hint=hint)
    if free_bytes < _LEAST_FREE_BYTES:
        detail = f"{folder}: {free_bytes // 1_000_000} MB free"
        return Finding("instance folder", ok=False, detail=detail, hint="free space on its disk")
    return _found("instance folder", "%(folder)s, %(free)s GB free", folder=folder, free=free_bytes // 1_000_000_000)


def _database(runtime: "Runtime") -> Iterator[Finding]:
    asked = _ask("database", runtime.checks["database"])
    if not asked.ok:
        hint = asked.hint or "see DATABASE_URL, and whether the server is up"
        yield Finding("database", ok=False, detail=asked.detail, hint=hint)
        return
    from carboy.db import ServerClock, migrate
    from carboy.db.failed_migration import find_failed_migration

    yield _found("database", "%(kind)s responds", kind=runtime.engine.dialect.name)
    connector = vars(runtime.engine).get("carboy_connector")
    if connector is not None:
        detail = connector.describe_tls(runtime.engine)
        hint = "" if ", verified" in detail else "set DB_TLS_CA to the PEM of the server's authority"
        yield Finding("database TLS", ok=True, detail=detail, hint=hint)
    if isinstance(runtime.clock, ServerClock):
        yield compare_clocks("the database", runtime.clock.now_ms())
    halt = find_failed_migration(runtime.engine)
    if halt is not None:
        at = f" at `{halt.statement}`" if halt.statement else ""
        hint = f"undo by hand what `{halt.migration}` did before that, fix its cause, then run `carboy db upgrade`"
        yield Finding("migrations", ok=False, detail=f"`{halt.migration}` stopped half-way{at}: {halt.why}", hint=hint)
        return
    if not migrate.is_current(runtime.engine, runtime.table_groups):
        found = migrate.current(runtime.engine) or "nothing"
        is_behind = found != migrate.head()
        detail = f"it has {found}, the code needs {migrate.head()}" if is_behind else "a service's tables are missing"
        yield Finding("migrations", ok=False, detail=detail, hint="run `carboy db upgrade`")
        return
    version = migrate.current(runtime.engine)
    if migrate.is_newer(version):
        detail = f"at {version}, newer than {migrate.head()} of this version"
        yield Finding("migrations", ok=True, detail=detail, hint="deploy the version that migrated it")
    else:
        yield _found("migrations", "at %(version)s, the latest", version=version)
    dead = sum(row["count"] for row in runtime.jobs.store.stats() if row["state"] == "dead")
    hint = "`carboy jobs list --state dead` shows why, `carboy jobs retry --all` tries again" if dead else ""
    yield _found("jobs", "%(count)s dead", hint, count=dead)
