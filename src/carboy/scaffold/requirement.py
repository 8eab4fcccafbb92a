"""The requirement by which a project gets the Carboy that is running: its release, or where it was installed from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from carboy import __version__


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the running Carboy was installed from.

    Attributes:
        url: of a repository, an archive or a folder, as PEP 508 has it; empty for an index.
        path: the local folder or file that the URL names, if it names one.
    """

    url: str = ""
    path: Path | None = None

    @property
    def context(self) -> Path | None:
        """The folder that a container's build needs besides the project, as its build context `carboy`."""
        return self.path.parent if self.path is not None and self.path.is_file() else self.path

    def requirement(self, extras: Sequence[str]) -> str:
        """Return the requirement that resolves to it."""
        name = f"carboy[{','.join(extras)}]"
        return f"{name} @ {self.url}" if self.url else f"{name}>={__version__}"

    def copies(self) -> list[str]:
        """Return a Dockerfile's instructions that put it where the requirement names it; none for an index or URL."""
        if self.path is None:
            return []
        if self.path.is_file():
            return [f"COPY --from=carboy {self.path.name} {self.path.parent}/"]
        return [
            f"COPY --from=carboy pyproject.toml README.md LICENSE {self.path}/",
            f"COPY --from=carboy src {self.path}/src",
        ]


@cache
def find_origin() -> Origin:
    """Return where this process's Carboy was installed from.

    Source: PEP 610, `direct_url.json`.
    """
    try:
        text = distribution("carboy").read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    found = json.loads(text) if text else {}
    url = str(found.get("url", ""))
    if "vcs_info" in found:
        reference = found["vcs_info"]
        return Origin(f"{reference['vcs']}+{url}@{reference['commit_id']}")
    if not url.startswith("file:"):
        return Origin(url)
    path = Path(unquote(urlsplit(url).path))
    return Origin(url, path) if path.exists() else Origin()
