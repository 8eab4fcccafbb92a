"""A Lambda zip, the same bytes every time: wheels for the target, only what runs, compiled for the target's Python."""

from carboy.bundle.build import STEPS, build
from carboy.bundle.image import render_dockerfile
from carboy.bundle.options import Arch, BuildOptions, BuildReport, Entry
from carboy.bundle.requirements import load_requirements, read_requirements

__all__ = [
    "STEPS",
    "Arch",
    "BuildOptions",
    "BuildReport",
    "Entry",
    "build",
    "load_requirements",
    "read_requirements",
    "render_dockerfile",
]
