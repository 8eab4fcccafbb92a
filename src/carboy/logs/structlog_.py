"""structlog, which our loggers are like, and which is imported only where someone else does.

Its import takes as long as a sixth of Flask's, and several times that where rich is installed; a logger of ours needs
nothing of it. A library that imports it finds it configured.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["bound_by_structlog", "when_imported"]

_NAME = "structlog"
_CONTEXT = "structlog.contextvars"


def when_imported(configure: Callable[[], None]) -> None:
    """Call this as soon as structlog is imported, and at once where it is; it replaces what was given before."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Waiting)]
    if _NAME in sys.modules:
        configure()
    else:
        sys.meta_path.insert(0, _Waiting(configure))


def bound_by_structlog() -> Mapping[str, Any]:
    """Return what structlog's own `bind_contextvars` has bound in this context."""
    context = sys.modules.get(_CONTEXT)
    if context is None or not getattr(context, "_CONTEXT_VARS", True):  # nothing was ever bound: do not ask
        return {}
    bound: Mapping[str, Any] = context.get_contextvars()
    return bound


class _Waiting:
    """Finds structlog as the other finders do, and has it configured when it was loaded."""

    def __init__(self, configure: Callable[[], None]) -> None:
        self._configure = configure

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in specs if found is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Configuring(spec.loader, self.end)  # type: ignore[assignment]
        return spec

    def end(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._configure()


class _Configuring:
    """A loader that does as another, whose place it gives back."""

    def __init__(self, inner: Any, end: Callable[[], None]) -> None:
        self._inner, self._end = inner, end

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._end()
