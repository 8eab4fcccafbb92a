"""The tables that Carboy's own parts keep, in one `MetaData` apart from the project's models."""

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.types import TypeEngine

__all__ = ["NAMING", "big_id", "metadata"]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: MetaData = MetaData(naming_convention=NAMING)


def big_id() -> TypeEngine[int]:
    """Return the type of a growing 64-bit key: BIGINT, on SQLite the INTEGER that is its row id."""
    return BigInteger().with_variant(Integer(), "sqlite")
