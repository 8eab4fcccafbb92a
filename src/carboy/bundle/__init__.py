"""A Lambda zip, the same bytes every time: wheels for the target, only what runs, compiled for the target's Python."""

from carboy.bundle.build import build
from carboy.bundle.image import render_dockerfile
from carboy.bundle.options import Arch, BuildOptions, BuildReport, Entry

__all__ = ["Arch", "BuildOptions", "BuildReport", "Entry", "build", "render_dockerfile"]
