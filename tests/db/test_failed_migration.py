"""A migration that stopped half-way is remembered until one ends well."""

import pytest
from sqlalchemy import Engine, inspect

from carboy.db.failed_migration import TABLE, find_halt, noting_halts


def test_a_stop_is_kept_until_a_migration_ends_well(sqlite: Engine) -> None:
    """What is not about SQL has its own words; nothing is left of it afterwards."""
    with pytest.raises(ValueError, match="no"), noting_halts(sqlite):
        raise ValueError("no such column in the code")
    found = find_halt(sqlite)
    assert found is not None
    assert (found.migration, found.statement, found.why) == ("a migration", "", "no such column in the code")

    with noting_halts(sqlite):
        pass
    assert find_halt(sqlite) is None
    assert not inspect(sqlite).has_table(TABLE)
