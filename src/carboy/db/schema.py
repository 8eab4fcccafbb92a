"""The tables that Carboy's own parts keep, in one `MetaData` apart from the project's models."""

import hashlib
from typing import Any

from sqlalchemy import BigInteger, Integer, MetaData, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeEngine


def _constraint_name(constraint: Any, _table: Any) -> str:
    """Return a CHECK's own name; one without gets a name of its text, as models for Flask-SQLAlchemy have them."""
    if constraint.name:
        return str(constraint.name)
    return hashlib.sha256(str(getattr(constraint, "sqltext", "")).encode()).hexdigest()[:8]


NAMING: dict[str, Any] = {
    "constraint_name": _constraint_name,
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


class ExactString(String):
    """Text of any language that equals only itself, byte for byte, whatever a server's own collation is.

    MySQL and MariaDB would take `key-a`, `KEY-A` and `key-a ` for the same, and refuse what their character set lacks.
    """

    cache_ok = True


class ExactText(Text):
    """The same for text that is long and never looked up."""

    cache_ok = True


def exact_collation(dialect: Any) -> str:
    """Return the collation of a MySQL or MariaDB server that compares bytes, and trailing blanks too.

    Sources: MySQL 8.4, "Trailing Space Handling in Comparisons"; MariaDB, "NO PAD Collations".
    """
    if getattr(dialect, "is_mariadb", False):
        return "utf8mb4_nopad_bin"
    version: Any = getattr(dialect, "server_version_info", None) or (8, 4)
    return "utf8mb4_0900_bin" if version >= (8, 0, 17) else "utf8mb4_bin"


@compiles(ExactString, "mysql", "mariadb")
def _compile_string(kind: ExactString, compiler: Any, **_: Any) -> str:
    return f"VARCHAR({kind.length}) CHARACTER SET utf8mb4 COLLATE {exact_collation(compiler.dialect)}"


@compiles(ExactText, "mysql", "mariadb")
def _compile_text(_kind: ExactText, compiler: Any, **_: Any) -> str:
    return f"TEXT CHARACTER SET utf8mb4 COLLATE {exact_collation(compiler.dialect)}"
