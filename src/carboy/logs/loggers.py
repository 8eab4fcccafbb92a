"""Loggers with structlog's interface; they write lines without a record of `logging`."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Self

from carboy.logs.clean_values import fill
from carboy.logs.log_lines import LEVEL_NUMBERS, level_name, parse_level
from carboy.logs.log_output import OUTPUT

_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = LEVEL_NUMBERS.values()
# Empty, and the very list that structlog is configured with: `structlog.testing.capture_logs` puts its own in here.
_PROCESSORS: list[Any] = []


class _Target:
    """What structlog wraps: a name, a method for each level, and the logger of `logging` that has this name."""

    __slots__ = ("name", "standard")

    def __init__(self, name: str) -> None:
        self.name = name
        self.standard = logging.getLogger(name)

    def is_enabled(self, number: int) -> bool:
        """Return whether the levels of `logging` allow an event; before `setup`, only explicit ones count."""
        standard = self.standard
        if OUTPUT.is_set_up or standard.disabled:
            return standard.isEnabledFor(number)
        logger: logging.Logger | None = standard
        while logger is not None and logger is not logging.root:
            if logger.level:
                return number >= logger.level
            logger = logger.parent
        return number >= OUTPUT.level

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level not in LEVEL_NUMBERS:
            raise AttributeError(level)

        def write(event: str = "", **facts: Any) -> None:
            self.write(level, event, facts)

        return write

    def write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        """Write a line, and pass the event to the handlers of `logging` for this name."""
        logger: logging.Logger | None = self.standard
        handlers: list[logging.Handler] = []
        is_for_root = False
        while logger is not None:
            if logger.handlers:
                handlers += [one for one in logger.handlers if not getattr(one, "writes_carboy_lines", False)]
            is_for_root = logger is logging.root
            logger = logger.parent if logger.propagate else None
        if not handlers and is_for_root:
            OUTPUT.emit(level, self.name, event, facts)
            return
        line = OUTPUT.emit(level, self.name, event, facts) if is_for_root else None
        if line is None and not is_for_root:
            line = OUTPUT.render(level, self.name, event, facts)
        if line is not None:
            OUTPUT.hand_on(level, self.name, event, line, handlers)


def _async(method: Callable[..., None]) -> Callable[..., Coroutine[Any, Any, None]]:
    async def log(self: "BoundLogger", *args: Any, **facts: Any) -> None:
        method(self, *args, **facts)

    return log


class BoundLogger:
    """A structlog logger: `log.info("secret_refreshed", age_s=3)`, `bind`, `unbind`, `new`.

    The level is asked for at each call, so that a logger made before `setup` follows it.
    """

    def __init__(self, logger: Any, processors: list[Any], context: dict[str, Any]) -> None:
        self._logger, self._processors, self._context = logger, processors, context  # structlog's names
        self._is_enabled: Callable[[int], bool] = logger.is_enabled

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(context={self._context!r})>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundLogger) and self._context == other._context

    __hash__: ClassVar[None]  # type: ignore[assignment]  # its facts are not constant

    def bind(self, **facts: Any) -> Self:
        """Return a logger whose lines carry these facts too."""
        return type(self)(self._logger, self._processors, {**self._context, **facts})

    def unbind(self, *names: str) -> Self:
        """Return a logger whose lines do not carry these facts.

        Raises:
            KeyError: one of them is not bound.
        """
        bound = self.bind()
        for name in names:
            del bound._context[name]
        return bound

    def try_unbind(self, *names: str) -> Self:
        """Like `unbind`; names that are not bound are ignored."""
        bound = self.bind()
        for name in names:
            bound._context.pop(name, None)
        return bound

    def new(self, **facts: Any) -> Self:
        """Return a logger whose lines carry these facts only."""
        return type(self)(self._logger, self._processors, facts)

    def debug(self, event: str, *args: Any, **facts: Any) -> None:
        """Log an event that only helps to find a fault."""
        if self._is_enabled(_DEBUG):
            self._log("debug", event, args, facts)

    def info(self, event: str, *args: Any, **facts: Any) -> None:
        """Log an event of ordinary work."""
        if self._is_enabled(_INFO):
            self._log("info", event, args, facts)

    def warning(self, event: str, *args: Any, **facts: Any) -> None:
        """Log an event that an operator should look at."""
        if self._is_enabled(_WARNING):
            self._log("warning", event, args, facts)

    def error(self, event: str, *args: Any, **facts: Any) -> None:
        """Log that a request or job failed."""
        if self._is_enabled(_ERROR):
            self._log("error", event, args, facts)

    def critical(self, event: str, *args: Any, **facts: Any) -> None:
        """Log that the program cannot go on."""
        if self._is_enabled(_CRITICAL):
            self._log("critical", event, args, facts)

    def exception(self, event: str, *args: Any, **facts: Any) -> None:
        """Log an error, with the exception that is being handled."""
        facts.setdefault("exc_info", True)
        if self._is_enabled(_ERROR):
            self._log("error", event, args, facts)

    def log(self, level: int | str, event: str, *args: Any, **facts: Any) -> None:
        """Log at a level given by its name or number; a number between two counts as the lower.

        Raises:
            UnknownLevel: there is no such level.
        """
        number = parse_level(level)
        if self._is_enabled(number):
            self._log(level_name(number), event, args, facts)

    warn: Callable[..., None] = warning  # structlog's other names, from here on
    msg: Callable[..., None] = info
    fatal: Callable[..., None] = critical
    err: Callable[..., None] = error
    adebug: Callable[..., Coroutine[Any, Any, None]] = _async(debug)
    ainfo: Callable[..., Coroutine[Any, Any, None]] = _async(info)
    awarning: Callable[..., Coroutine[Any, Any, None]] = _async(warning)
    aerror: Callable[..., Coroutine[Any, Any, None]] = _async(error)
    acritical: Callable[..., Coroutine[Any, Any, None]] = _async(critical)
    aexception: Callable[..., Coroutine[Any, Any, None]] = _async(exception)
    alog: Callable[..., Coroutine[Any, Any, None]] = _async(log)

    def is_enabled_for(self, level: int) -> bool:
        """Return whether an event of this level would be written."""
        return self._is_enabled(level)

    def get_effective_level(self) -> int:
        """Return the level below which events are dropped."""
        standard = self._logger.standard
        return standard.getEffectiveLevel() if OUTPUT.is_set_up else OUTPUT.level

    isEnabledFor: Callable[..., bool] = is_enabled_for  # noqa: N815 (as `logging` has it)
    getEffectiveLevel: Callable[..., int] = get_effective_level  # noqa: N815 (as `logging` has it)

    def _log(self, level: str, event: str, args: tuple[Any, ...], facts: dict[str, Any]) -> None:
        if args:
            event = fill(event, args[0] if len(args) == 1 and isinstance(args[0], dict) else args)
        if self._processors:
            self._process(level, {**self._context, **facts, "event": event})
        else:
            self._logger.write(level, event, {**self._context, **facts} if self._context else facts)

    def _process(self, level: str, line: Any) -> None:
        from structlog import DropEvent  # imported already by the code that captures lines

        try:
            for processor in self._processors:
                line = processor(self._logger, level, line)
        except DropEvent:
            return
        if isinstance(line, dict):
            getattr(self._logger, level)(**line)
        else:
            getattr(self._logger, level)(str(line))

    def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: Any) -> None:
        self._log(method_name, event or "", (), event_kw)

    def __reduce__(self) -> tuple[Callable[..., "BoundLogger"], tuple[str, dict[str, Any]]]:
        return _restored, (self._logger.name, dict(self._context))


def _restored(name: str, facts: dict[str, Any]) -> BoundLogger:
    return BoundLogger(_Target(name), _PROCESSORS, facts)


def get_logger(name: str | None = None, **facts: Any) -> BoundLogger:
    """Return a logger whose lines carry this name and these facts.

    It can be made at import, before `setup`: it follows whatever is set up later.
    """
    return BoundLogger(_Target(name or "root"), _PROCESSORS, facts)


getLogger = get_logger  # noqa: N816 (as `logging` has it)


def configure_structlog() -> None:
    """Make `structlog.get_logger()` return these loggers; call it once, after `setup`.

    Raises:
        ImportError: structlog is not installed.
    """
    import structlog

    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=BoundLogger,
        context_class=dict,
        logger_factory=lambda *names: _Target(str(names[0]) if names else "root"),
        cache_logger_on_first_use=True,
    )
