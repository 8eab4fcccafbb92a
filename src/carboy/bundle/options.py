"""The options of a build, and the report of what it made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from carboy.config.environ import read_environ
from carboy.errors import UsageError

Arch = Literal["x86_64", "arm64"]
PYTHONS = {"3.10": "3.10.15", "3.11": "3.11.10", "3.12": "3.12.7", "3.13": "3.13.1", "3.14": "3.14.0"}
"""The Python versions that Lambda runs, each with a release that Lambda's has long passed: packages ask for one."""

MAX_ZIP_BYTES = 50 * 1024 * 1024
MAX_UNPACKED_BYTES = 250 * 1024 * 1024


def _cache_dir() -> Path:
    named = read_environ().get("XDG_CACHE_HOME", "")
    return (Path(named) if named.startswith("/") else Path.home() / ".cache") / "carboy" / "build"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build.

    Attributes:
        service_dir: the project.
        source: what to take from it; by default `src/`, else the packages and modules in it.
        target: the zip, or the folder that it is written to; by default `dist/lambda_function.zip`
            or `dist/layer.zip`.
        requirements: the file that names the dependencies; by default the first of `src/requirements.txt`,
            `requirements.txt`, `uv.lock`, `poetry.lock`, `Pipfile.lock`, `pylock.toml`, `Pipfile`, `pyproject.toml`
            and `setup.cfg`.
        pipfile: a Pipfile whose lock names them, or its folder.
        python: the minor version of the runtime.
        arch: the processor of the function.
        exclude: glob patterns of paths in the zip that stay out.
        include: glob patterns of own paths that go in although they would be left out.
        is_rebuild: whether to install the dependencies again, whatever the cache has.
        has_build_info: whether to add `config.json` with the commit and its time.
        system_packages: of the runtime's operating system, for which a container is needed.
        is_layer: whether to build a layer: the dependencies, without the source.
        has_boto3: whether boto3 goes into the zip; the runtime has one of its own.
        keep_services: AWS services whose data boto3 keeps, besides those that the code names.
        keeps_all_services: whether boto3 keeps the data of all.
        cache_dir: where dependencies are kept between builds; by default below `XDG_CACHE_HOME`, else `~/.cache`.
    """

    service_dir: Path
    source: Path | None = None
    target: Path | None = None
    requirements: Path | None = None
    pipfile: Path | None = None
    python: str = "3.13"
    arch: Arch = "x86_64"
    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    is_rebuild: bool = False
    has_build_info: bool = False
    system_packages: Sequence[str] = ()
    is_layer: bool = False
    has_boto3: bool = False
    keep_services: Sequence[str] = ()
    keeps_all_services: bool = False
    cache_dir: Path = field(default_factory=_cache_dir)

    def __post_init__(self) -> None:
        if self.python not in PYTHONS:
            known = ", ".join(PYTHONS)
            raise UsageError(f"Lambda has no Python {self.python}", f"it has {known}", "choose one with --python")
        if self.arch not in get_args(Arch):
            raise UsageError(f"Lambda has no processor `{self.arch}`", "it has x86_64 and arm64", "see --arch")
        if not self.service_dir.is_dir():
            raise UsageError("the service cannot be built", f"`{self.service_dir}` is no folder", "name its folder")

    @property
    def wants_boto3(self) -> bool:
        """Whether boto3 is in the zip: asked for, or implied by asking for services."""
        return self.has_boto3 or self.keeps_all_services or bool(self.keep_services)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the zip.

    Attributes:
        path: in the zip, with slashes.
        size_bytes: unpacked.
        why: the reason for which it is in.
        package: whose it is: a distribution with its version, or `your code`.
    """

    path: str
    size_bytes: int
    why: str
    package: str


Chosen = list[tuple[Path | bytes, Entry]]
"""Files of the zip to be: where each is, or its content, and the notices about it."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a distribution weighs, unpacked."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        target: the zip.
        sha256: of its bytes, in hexadecimal.
        zip_bytes: its size.
        unpacked_bytes: the size of all that is in it.
        entries: every file, in the zip's order.
        is_from_cache: whether the dependencies were taken from the cache.
        notes: what the user should know besides.
    """

    target: Path
    sha256: str
    zip_bytes: int
    unpacked_bytes: int
    entries: Sequence[Entry]
    is_from_cache: bool
    notes: Sequence[str]

    @property
    def zip_room_bytes(self) -> int:
        """What is left of Lambda's limit for zips; negative when it is exceeded."""
        return MAX_ZIP_BYTES - self.zip_bytes

    @property
    def unpacked_room_bytes(self) -> int:
        """What is left of Lambda's limit for unpacked code; negative when it is exceeded."""
        return MAX_UNPACKED_BYTES - self.unpacked_bytes

    @property
    def fits(self) -> bool:
        """Whether Lambda takes it."""
        return self.zip_room_bytes >= 0 and self.unpacked_room_bytes >= 0

    def largest(self, count: int = 10) -> list[Package]:
        """Return the heaviest packages, the heaviest first."""
        sizes: dict[str, int] = {}
        for entry in self.entries:
            sizes[entry.package] = sizes.get(entry.package, 0) + entry.size_bytes
        ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        return [Package(name, size) for name, size in ordered[:count]]


def target_of(options: BuildOptions) -> Path:
    """Return the path of the zip."""
    name = "layer.zip" if options.is_layer else "lambda_function.zip"
    if options.target is None:
        return options.service_dir / "dist" / name
    is_file = options.target.suffix == ".zip" and not options.target.is_dir()
    return options.target if is_file else options.target / name


def source_of(options: BuildOptions) -> Path | None:
    """Return the file or folder of the code; None for the packages and modules at the project's root.

    Raises:
        UsageError: what was named is not there.
    """
    root = options.service_dir
    if options.source is None:
        return root / "src" if (root / "src").is_dir() else None
    chosen = options.source
    folder = chosen if chosen.is_absolute() or chosen.exists() else root / chosen
    if not folder.exists():
        raise UsageError("the service cannot be built", f"there is no `{chosen}`", "name its source with --source")
    return folder
