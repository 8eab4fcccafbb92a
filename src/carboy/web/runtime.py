"""What an application runs with: one object, found by `runtime()`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate, Settings
from carboy.db import DbSettings, ServerClock
from carboy.errors import CarboyError, ConfigurationError, UsageError
from carboy.extension import Extension, find_extension
from carboy.extras import extra
from carboy.jobs import JobsSettings
from carboy.logs import BoundLogger, get_logger
from carboy.web.configuration import ConfigProvider
from carboy.web.http.path_masking import SecretPaths
from carboy.web.http.rate_limits import RateLimiter, SharedRateLimiter
from carboy.web.metrics.registry import Metrics
from carboy.web.once import Once
from carboy.web.settings import WebSettings

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine

    from carboy.db import GroupCommit, Shared
    from carboy.jobs import Job, JobEngine, JobStore, Ready, Registry
    from carboy.jobs.celery.engine import CeleryEngine
    from carboy.jobs.sqs import ClaimCheck, SqsEngine
    from carboy.problems import Problem
    from carboy.web.auth.key_cache import KeyRing
    from carboy.web.health.readiness import Check
    from carboy.web.pages import Page

log: BoundLogger = get_logger(__name__)
T = TypeVar("T")


class Runtime(Extension):
    """The objects that the parts of an application share.

    What stands on the database is made when it is first asked for, and SQLAlchemy imported only then.

    Attributes:
        app: the application.
        settings: every setting, typed, with its origin; as they were at the start, but for `settings.live`.
        centre: what the settings come from; its `secrets` and `parameters` are for the project too.
        web: the settings of the assembly.
        clock: the time.
        metrics: those of `/metrics`; modules add theirs.
        checks: what `/readyz` asks, by the name that it shows; modules add theirs. A check raises when its part
            cannot work; it runs in a thread of its own, inside the application's context. A failure is a 503.
        doctor_checks: what `carboy doctor` does in place of a check of that name; returns what it found.
        dependencies: checks of what requests can do without, such as an upstream of jobs; a failure is `degraded`.
        limiter: counts requests by key and address; None where `RATE_LIMIT` is off.
        body_limits: functions that return how many bytes a body may have at a path, 0 where `MAX_BODY_BYTES` holds.
        compressed_paths: functions that return whether compressed bodies are read at a path; by default none is.
        at_start: called once in each process that serves or works, when its job engine has started; they do not raise.
        documents: functions that return the OpenAPI documents that are served, one each.
        pages: the pages of the console that modules bring.
        error_page: returns an error as HTML with its headers, for a client that asks for it; None without a console.
        jobs: the jobs that are known, their rows, and who runs them here.
        parts: the names of the parts that the application has.
        is_adopted: whether the application has a factory of its own, and `init_app` added parts to it.
    """

    binds_models: ClassVar[bool] = True

    def __init__(self, app: "Flask", settings: Settings, centre: ConfigProvider, clock: Clock = SYSTEM_CLOCK) -> None:
        self._is_binding = False
        super().__init__()
        self.settings: Settings = settings
        self.centre: ConfigProvider = centre
        self.clock: Clock = _clock(settings, clock)
        web = settings.part(WebSettings)
        self.web: WebSettings = web
        self.metrics: Metrics = Metrics()
        self.checks: dict[str, Check] = {}
        self.dependencies: dict[str, Check] = {}
        self.doctor_checks: dict[str, Callable[[], str]] = {}
        self.body_limits: list[Callable[[str], int]] = []
        self.compressed_paths: list[Callable[[str], bool]] = []
        self.at_start: list[Callable[[], None]] = []
        self.documents: list[Callable[[], dict[str, Any]]] = []
        self.pages: list[Page] = []
        self.error_page: Callable[[Mapping[str, Any], Problem], tuple[bytes, Mapping[str, str]] | None] | None = None
        self.app = app
        self.is_adopted = False
        self.parts: frozenset[str] = frozenset()
        self._once = Once()
        self.limiter: RateLimiter | None = None
        if web.rate_limit:
            self.limiter = self.make_limiter("all", web.rate_limit, web.rate_limit_clients)
        self._secret_paths: SecretPaths | None = None
        self.jobs: Jobs = Jobs(self, app)

    def newest(self, part: type[T]) -> T:
        """Return a part's settings as they are now, the same throughout a request.

        Settings that are older than `SECRET_TTL_S` are read again in the background.
        """
        live = self.centre.live
        return (self.settings if live is None else live.current()).part(part)

    @property
    def title(self) -> str:
        """The service's name as people see it: that of the settings, else `Carboy`."""
        named = self.settings.entry("APP")
        return "Carboy" if named is None or named.layer == "default" else str(named.value)

    def body_limit(self, path: str) -> int:
        """Return how many bytes a body may have at a path."""
        chosen: int | None = self.app.config["MAX_CONTENT_LENGTH"]  # an application may change it after its start
        usual = sys.maxsize if chosen is None else chosen
        return next((limit for own in self.body_limits if (limit := own(path))), usual)

    def takes_compressed(self, path: str) -> bool:
        """Return whether compressed bodies are read at a path."""
        return any(own(path) for own in self.compressed_paths)

    @property
    def has_database(self) -> bool:
        """Whether there is a database: always, but where a queue holds the work (`sqs`) and none is named."""
        url = self.settings.entry("DATABASE_URL")
        is_named = (url is not None and url.layer != "default") or self.settings.part(DbSettings).db_secret_name
        return bool(is_named) or self.settings["JOBS_ENGINE"] != "sqs"

    @property
    def engine(self) -> "Engine":
        """The database's engine; that of `db`, where the application has models of its own.

        Raises:
            ConfigurationError: there is no database.
        """
        return self._once("engine", self._make_engine)

    @property
    def writer(self) -> "GroupCommit":
        """The group commit through which this process writes."""
        return self._once("writer", self._make_writer)

    @property
    def shared(self) -> "Shared | None":
        """What the processes of this service share beside its rows; None where there is one process, on SQLite."""
        if not isinstance(self.clock, ServerClock):
            return None
        from carboy.db import Shared

        return self._once("shared", lambda: Shared(lambda: self.engine, self.clock))

    def use_tables(self, group: str) -> None:
        """Have the tables of a service, `archive` or `sms`, made when the others are."""
        self.table_groups.add(group)
        made = self._once.get("engine")
        if made is not None:
            self._upgrade_embedded(made)

    def _upgrade_embedded(self, made: "Engine") -> None:
        """Bring a SQLite database, which is this program's own to change, to its newest form."""
        from carboy.db import upgrade

        if made.dialect.name == "sqlite" and upgrade(made, self.table_groups):
            log.info("database_migrated")

    def make_limiter(self, name: str, rate: Rate, max_callers: int = 1) -> RateLimiter:
        """Return a limit that all processes of this service keep together."""
        if self.shared is None:
            return RateLimiter(rate, max_callers=max_callers, clock=self.clock)
        return SharedRateLimiter(self.shared, name, rate, max_callers=max_callers, clock=self.clock)

    @property
    def keys(self) -> "KeyRing":
        """The API keys."""
        return self._once("keys", self._make_keys)

    def show_path(self, path: str) -> str:
        """Return a request's path for logs and problem documents, with `<token>` in place of path tokens."""
        made = self._secret_paths
        if made is None:  # the routes are all there by the first request
            made = self._secret_paths = SecretPaths(rule.rule for rule in self.app.url_map.iter_rules())
        return made.show(path)

    def notify_jobs(self) -> None:
        """Notify the job engine of new rows; nothing where no engine runs in this process."""
        self.jobs.notify()

    def close(self) -> None:
        """Stop the jobs that run here and close the database's connections."""
        self.jobs.stop()
        keys = self._once.get("keys")
        if keys is not None:
            keys.close()
        for name in ("models", "engine"):  # mostly one and the same
            made = self._once.get(name)
            if made is not None:
                made.dispose()

    def bind_models(self) -> None:
        """Set up the application's SQLAlchemy: its own, or `carboy.db.db` where a module imported that."""
        has_models = "sqlalchemy" in self.app.extensions or "carboy.db.models" in sys.modules
        if has_models and find_spec("flask_migrate") is not None:
            self._once("models", self._make_models)

    def prepare(self, engine: "Engine") -> "Engine":
        """Give an engine that the application made itself the login, TLS and timeouts of these settings; return it.

        A `SQLAlchemy()` of Flask-SQLAlchemy needs no call.
        """
        from carboy.db import prepare

        connector = self.centre.connector(self.settings, self.centre.credentials(self.settings))
        return prepare(engine, self.settings.part(DbSettings), connector)

    def bind_later(self) -> None:
        """Do the same when a context is pushed: an application may make its SQLAlchemy and Migrate after `init_app`."""
        from flask import appcontext_pushed

        def on_push(app: "Flask", **_: Any) -> None:
            if app._got_first_request or {"sqlalchemy", "migrate"} <= app.extensions.keys():
                appcontext_pushed.disconnect(on_push, app)
            if not self._is_binding:
                self._is_binding = True  # binding pushes a context itself
                try:
                    self.bind_models()
                finally:
                    self._is_binding = False

        self.connect(appcontext_pushed, self.app, on_push)

    def _make_models(self) -> "Engine | None":
        from carboy.db import bind, db

        credentials = self.centre.credentials(self.settings)
        connector = self.centre.connector(self.settings, credentials)
        made = bind(self.app, self.settings.part(DbSettings), credentials, connector)
        is_server = made is not None and made.dialect.name != "sqlite"
        if self.app.extensions["sqlalchemy"] is db or (credentials is not None and is_server):
            return None if made is None else self._followed(made)
        return None  # the application's own database, which is not the one that the settings name

    def _make_engine(self) -> "Engine":
        if not self.has_database:
            raise ConfigurationError(
                "there is no database",
                "with JOBS_ENGINE `sqs` there is one only where it is named",
                "set DATABASE_URL or DB_SECRET_NAME",
            )
        made: Engine = self._once.get("models") or self._followed(self.centre.engine(self.settings))
        if self.settings["JOBS_ENGINE"] != "embedded":  # that one looks into the table itself
            from carboy.jobs import notify_after_commit

            notify_after_commit(made, self.jobs.notify)
        self._upgrade_embedded(made)
        if isinstance(self.clock, ServerClock):
            self.clock.follow(made)
        return made

    def _followed(self, made: "Engine") -> "Engine":
        if self.web.trace == "off":
            return made
        from carboy.db import trace_statements

        return trace_statements(made)

    def _make_writer(self) -> "GroupCommit":
        from carboy.db import GroupCommit

        leaders = 1 if self.engine.dialect.name == "sqlite" else self.settings["DB_LEADERS"]
        wait_s, probe_s = self.settings["DB_REQUEST_BUDGET_S"], self.settings["DB_PROBE_S"]
        return GroupCommit(self.engine, wait_s=wait_s, leaders=leaders, probe_s=probe_s)

    def _make_keys(self) -> "KeyRing":
        from carboy.web.auth.key_cache import KeyRing, NoKeys

        if not self.has_database:
            return KeyRing(NoKeys(), self.web.keys_cache_s, self.clock)
        with extra("db"):
            from carboy.web.auth.key_store import KeyStore

        return KeyRing(KeyStore(self.engine, self.writer, self.clock), self.web.keys_cache_s, self.clock)


class Jobs:
    """The jobs that an application knows, their rows, and the engine that runs them in this process."""

    def __init__(self, runtime: Runtime, app: "Flask") -> None:
        self._runtime, self._app = runtime, app
        self._once = Once()
        self.park: ClaimCheck | None = None  # where `send` puts what is too long for a message
        self._runs = runtime.metrics.counter("carboy_job_runs_total", "Tries of jobs.", ("kind", "outcome"))
        self._durations = runtime.metrics.histogram("carboy_job_duration_seconds", "Time of each try.", ("kind",))
        self._messages = runtime.metrics.counter("carboy_jobs_messages_total", "Messages to a broker.", ("outcome",))

    @cached_property
    def registry(self) -> "Registry":
        """The jobs by kind."""
        from carboy.jobs import Registry

        return Registry()

    @property
    def store(self) -> "JobStore":
        """The rows of the jobs, for people and their tools."""
        from carboy.jobs import JobStore

        runtime = self._runtime
        return self._once("store", lambda: JobStore(runtime.engine, runtime.writer, runtime.clock))

    @property
    def engine(self) -> "JobEngine | None":
        """The engine of `JOBS_ENGINE`, for the server to start and stop; None without any job."""
        return self._once("engine", self._make_engine) if self.registry.kinds else None

    def check(self) -> None:
        """Ask the engine whether it can work; an embedded one only where it was started.

        Raises:
            CarboyError: it cannot, or not as it should (`Degraded`).
        """
        is_embedded = self._runtime.settings["JOBS_ENGINE"] == "embedded"
        engine: JobEngine | None = self._once.get("engine") if is_embedded else self.engine
        if engine is None:
            return
        if not engine.is_running:
            raise CarboyError("the job engine", "it is stopped", "see the log for why")
        engine.check()

    @property
    def messages(self) -> Mapping[str, int]:
        """How many messages this process sent to a broker, by outcome; none where the engine has no broker."""
        return getattr(self._once.get("engine"), "counts", {})

    def notify(self, rows: "Sequence[Ready]" = ()) -> None:
        """Notify the engine of rows that were committed; without rows only an engine that runs in this process."""
        engine: JobEngine | None = self.engine if rows else self._once.get("engine")
        if engine is not None:
            engine.notify(rows)

    def send(self, job: "Job[...]", *calls: Sequence[Any]) -> None:
        """Have a job done once for each list of arguments, where there is no database: by messages of the queue.

        Raises:
            UpstreamError: the queue did not take them.
        """
        cast("SqsEngine", self.engine).send(job, *calls)

    def stop(self) -> None:
        """Stop the engine where it runs."""
        made: JobEngine | None = self._once.get("engine")
        if made is not None:
            made.stop()

    def _make_engine(self) -> "JobEngine":
        from carboy.jobs import engine_class

        settings = self._runtime.settings.part(JobsSettings)
        writer: Any = self._runtime.writer if self._runtime.has_database else None  # only `sqs` goes without
        made = engine_class(settings.jobs_engine)(
            writer,
            self.registry,
            settings,
            context=self._app.app_context,
            clock=self._runtime.clock,
            on_end=self._count,
        )
        if settings.jobs_engine == "celery":
            cast("CeleryEngine", made).report_messages(lambda outcome, count: self._messages.inc((outcome,), count))
        if settings.jobs_engine == "sqs":
            cast("SqsEngine", made).park = self.park
        return made

    def _count(self, kind: str, outcome: str, took_s: float) -> None:
        self._runs.inc((kind, outcome))
        self._durations.observe(took_s, (kind,))


def _clock(settings: Settings, clock: Clock) -> Clock:
    """Return the clock of a server's database, which its processes share, unless a clock was given."""
    has_server = "DATABASE_URL" in settings and not settings.part(DbSettings).is_embedded
    return ServerClock(clock) if has_server and clock is SYSTEM_CLOCK else clock


def runtime(app: "Flask | None" = None) -> Runtime:
    """Return what an application runs with; the current one by default.

    Raises:
        UsageError: the application was made without Carboy.
    """
    if app is None:
        from flask import current_app

        app = current_app
    found = find_extension(app)
    if not isinstance(found, Runtime):
        raise UsageError(
            "there is no runtime", "the application was made without Carboy", "call `carboy.init_app(app)`"
        )
    return found
