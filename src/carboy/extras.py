"""Optional libraries: say how to get one when it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from carboy.errors import MissingExtra

__all__ = ["extra"]


@contextmanager
def extra(part: str) -> Iterator[None]:
    """Turn an ImportError in the block into the command that installs the part.

    What lies within the block may be parts too: the command installs the outermost, which has the others.

    Args:
        part: the name of an extra in `pyproject.toml`, such as `db`.

    Raises:
        MissingExtra: a library of that part is not installed.
    """
    try:
        yield
    except (ImportError, MissingExtra) as error:
        why = error.why if isinstance(error, MissingExtra) else f"`{error.name or 'a library'}` could not be imported"
        raise MissingExtra(f"the part `{part}` is not installed", why, f"pip install 'carboy[{part}]'") from error
