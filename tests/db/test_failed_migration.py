"""A migration that stopped half-way is remembered until one ends well."""

import pytest
from sqlalchemy import Engine, inspect

from carboy.db.failed_migration import TABLE, find_failed_migration, record_failures


def test_a_stop_is_kept_until_a_migration_ends_well(sqlite: Engine) -> None:
    """What is not about SQL has its own words; nothing is left of it afterwards."""
    with pytest.raises(ValueError, match="no"), record_failures(sqlite):
        raise ValueError("no such column in the code")
    found = find_failed_migration(sqlite)
    assert found is not None
    assert (found.migration, found.statement, found.why) == ("a migration", "", "no such column in the code")

    with record_failures(sqlite):
        pass
    assert find_failed_migration(sqlite) is None
    assert not inspect(sqlite).has_table(TABLE)
