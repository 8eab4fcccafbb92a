"""Databases for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carboy.config import load, read_sources
from carboy.db import DbSettings, engine, upgrade


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A migrated SQLite file."""
    made = engine(load([DbSettings], read_sources(folder=tmp_path, environ={})).part(DbSettings))
    upgrade(made)
    yield made
    made.dispose()
