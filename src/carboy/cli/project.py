"""The project of a command: profile, settings and application of its options."""

import contextlib
import io
import os
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from carboy.errors import CarboyError, ConfigurationError, MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flask import Flask

    from carboy.config import Settings, Sources
    from carboy.serve import Service
    from carboy.web import Runtime

P = ParamSpec("P")
R = TypeVar("R")

_USUAL_PORT, _MAX_PORT = 8000, 65_535
_GATEWAY = "pip install 'carboy[archive,sms]'"


@dataclass(slots=True)
class Project:
    """The options that every command has, and what follows from them.

    Attributes:
        profile: `--profile`; None where the environment decides.
        env_file: `--env-file`.
        app: `--app`, as Flask takes it.
        openapi: a document that is served in place of an application.
    """

    profile: str | None = None
    env_file: str | None = None
    app: str | None = None
    openapi: Path | None = None

    def sources(self) -> "Sources":
        """Return the environment, `.env` and `carboy.toml`, as the options choose them."""
        from carboy.config import read_sources

        self.export()
        return read_sources()

    def settings(self, *parts: type) -> "Settings":
        """Return the settings of these parts.

        Raises:
            ConfigurationError: with all that is wrong.
        """
        from carboy.web import load_settings

        settings, _ = load_settings(lambda *_: parts, self.sources)
        return settings

    def export(self) -> None:
        """Export the options to the environment, for an application's own factory, and the project to `sys.path`."""
        from carboy.config.environ import write_environ
        from carboy.config.profile import parse_profile

        if "" not in sys.path:
            sys.path.insert(0, "")  # the working folder, as `flask` and `python -m` have it
        if self.profile is not None:
            write_environ("FLASK_PROFILE", parse_profile(self.profile, "--profile").name)
        if self.env_file is not None:
            write_environ("CARBOY_ENV_FILE", self.env_file)

    def app_path(self) -> str | None:
        """Return what `--app`, `FLASK_APP` or `carboy.toml` names, in this order; None for the built-in gateway.

        `FLASK_APP` is read from the environment, `.env` and, as `flask` does, `.flaskenv`.
        """
        sources = self.sources()
        named = self.app or sources.environ.get("FLASK_APP") or sources.dotenv.get("FLASK_APP")
        return named or _read_flaskenv(sources.folder).get("FLASK_APP") or sources.toml.get("app")

    def port(self) -> int:
        """Return the port to serve on: `PORT`, as many platforms set it, where that is a number; else 8000."""
        sources = self.sources()
        text = sources.environ.get("PORT") or sources.dotenv.get("PORT", "")  # on Kubernetes it may be `tcp://…`
        return int(text) if text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT else _USUAL_PORT

    def has_modules(self) -> bool:
        """Return whether the project names the modules that the built-in application is made of."""
        sources = self.sources()
        return any(
            {"MODULES", "FLASK_MODULES"} & layer.keys() for layer in (sources.environ, sources.dotenv)
        ) or "modules" in sources.toml.get("default", {})

    def make_app(self, **overrides: Any) -> "Flask":
        """Make the application.

        Args:
            overrides: settings of the built-in gateway; another application's factory has its own.

        Raises:
            UsageError: it cannot be found.
            CarboyError: what its own factory raised.
        """
        if self.openapi is not None:
            return self._make_api(self.openapi, overrides)
        path = self.app_path()
        if path is not None:
            self._export_env_file()
            from flask.cli import NoAppException, ScriptInfo

            try:
                return ScriptInfo(app_import_path=path).load_app()
            except NoAppException as error:
                why = error.format_message().strip()
                raise UsageError(f"`{path}` is not an application", why, _hint(path, why)) from error
            except CarboyError:
                raise
            except Exception as error:
                raise _broken(f"`{path}`", error) from error
        from carboy.web import create_app

        try:
            with own_faults():
                return create_app(**overrides)
        except MissingExtra as error:
            raise of_gateway(error) from error

    def _export_env_file(self) -> None:
        from carboy.web import settings_parts

        sources = self.sources()
        if sources.dotenv:
            with contextlib.suppress(ConfigurationError):  # the application itself reports it
                sources.export_undeclared(settings_parts(sources))

    def _make_api(self, document: Path, overrides: dict[str, Any]) -> "Flask":
        from carboy.web import add_api, create_app

        self.export()
        app = create_app(**{"modules": (), **overrides})
        add_api(app, document, None)
        return app

    def make_quiet_app(self, **overrides: Any) -> "Flask":
        """Make the application for a command that prints data: log lines go to stderr."""
        from carboy import logs

        lines = io.StringIO()
        with contextlib.redirect_stdout(lines):  # the caller reports its error
            app = self.make_app(log_level="WARNING", log_format="console", **overrides)
        click.echo(lines.getvalue(), nl=False, err=True)
        logs.setup("WARNING", "console", stream=sys.stderr)
        return app

    def runtime(self) -> "Runtime":
        """Return what the application runs with, its embedded database at its newest.

        Raises:
            UsageError: the application was made without Carboy.
        """
        from carboy.serve import Service

        service = Service(self.make_quiet_app())
        runtime = runtime_of(service)
        service.prepare()
        return runtime

    @contextlib.contextmanager
    def running(self) -> "Iterator[Runtime]":
        """Give what the application runs with, in the context of the application, and close it at the end."""
        runtime = self.runtime()
        try:
            with runtime.app.app_context():
                yield runtime
        finally:
            runtime.close()


def of_gateway(error: MissingExtra) -> MissingExtra:
    """Return the error for a missing part of the built-in gateway: an application of one's own may not need it."""
    own = next((name for name in ("wsgi", "app") if Path(f"{name}.py").is_file()), None)
    named = f"if `{own}.py` is your application, name it: --app {own}" if own else "name your application: --app NAME"
    hint = f"{named} (or FLASK_APP, or `app` in carboy.toml); for the built-in gateway: {_GATEWAY}"
    return MissingExtra(error.what, error.why, hint)


def _read_flaskenv(folder: Path) -> "Mapping[str, str]":
    from carboy.config.files import read_dotenv

    path = folder / ".flaskenv"
    if not path.is_file():
        return {}
    with contextlib.suppress(ConfigurationError):  # it is Flask's file: what only python-dotenv reads is not an error
        return read_dotenv(path)
    return {}


@contextlib.contextmanager
def own_faults() -> "Iterator[None]":
    """Report an exception of the user's own modules by the lines of theirs that led to it.

    Raises:
        CarboyError: one was raised; Carboy's own errors pass as they are.
    """
    try:
        yield
    except CarboyError:
        raise
    except Exception as error:
        raise _broken("the application", error) from error


def _broken(what: str, error: Exception) -> CarboyError:
    """Return the error for an application that cannot be made, with the lines of the user's own that led to it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not _is_installed(Path(frame.filename))
    ]
    lines = [f"{_shown(frame.filename)}, line {frame.lineno}\n    {frame.line}" for frame in frames]
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename and error.text:
        caret = " " * max((error.offset or 1) - 1 - (len(error.text) - len(error.text.lstrip())), 0) + "^"
        lines.append(f"{_shown(error.filename)}, line {error.lineno}\n    {error.text.strip()}\n    {caret}")
        why = f"{type(error).__name__}: {error.msg}"
    return CarboyError(f"{what} cannot be made", "\n  ".join([why, *lines]), "the error is the application's own")


def _is_installed(file: Path) -> bool:
    places = (sysconfig.get_path("stdlib"), Path(__file__).parents[1])
    return "site-packages" in file.parts or any(file.is_relative_to(place) for place in places)


def _shown(file: str) -> str:
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def _hint(path: str, why: str) -> str:
    if why.startswith("Could not import"):
        return f"go to the folder that `{path.partition(':')[0]}` is in, or correct the name"
    if why.startswith("While importing"):
        return "that import is the application's own: correct it, or install what it needs"
    return "name it as `module:app` or `module:make`"


def runtime_of(service: "Service") -> "Runtime":
    """Return what an application runs with.

    Raises:
        UsageError: it was made without Carboy.
    """
    if service.runtime is None:
        raise UsageError(
            "this application has no Carboy parts",
            "it was not made by `create_app`, and `init_app` was not called",
            "see `carboy.web`, or leave out --app for the built-in gateway",
        )
    runtime: Runtime = service.runtime
    return runtime


def pass_project(command: "Callable[Concatenate[Project, P], R]") -> "Callable[P, R]":
    """Give a command the project as its first argument."""
    return click.make_pass_decorator(Project, ensure=True)(command)
