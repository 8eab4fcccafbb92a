"""No value of a literal is left in a traced statement, in any dialect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.db.sql_masking import mask_sql

DIALECTS = ["postgresql", "mysql", "mariadb", "sqlite"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'SECRET'",
        "SELECT 'it''s SECRET'",
        r"SELECT 'it\'s SECRET'",
        r"SELECT 'C:\', 'SECRET'",
        r"SELECT 'a\\', 'SECRET'",
        "SELECT 'SECRET" + "x" * 5000 + "'",
        "SELECT '" + "x" * 5000 + "SECRET'",
        "SELECT 1 -- it's\n, 'SECRET'",
        "SELECT 1 /* it's */ , 'SECRET'",
        "SELECT 1 /* SECRET */",
        "SELECT 1 -- SECRET",
        "SELECT 1 /* /* */ , 'SECRET */ SECRET'",
        "SELECT 'unfinished SECRET",
        "SELECT X'5345' , N'SECRET', _utf8mb4'SECRET', E'SECRET', U&'SECRET'",
        "INSERT INTO t VALUES (0xSECRET, 12SECRET)",
        "SELECT '\n--SECRET\n' , 'SECRET'",
        "SELECT E'it\\'s SECRET'",
    ],
)
def test_what_a_literal_holds_is_hidden(dialect: str, statement: str) -> None:
    """Whichever way the server would read it."""
    assert "SECRET" not in mask_sql(statement, dialect)


@pytest.mark.parametrize(
    ("dialect", "statement"),
    [
        ("postgresql", "SELECT $$SECRET$$"),
        ("postgresql", "SELECT $tag$ SECRET $$ SECRET $tag$, 'SECRET'"),
        ("postgresql", "SELECT $tag$ SECRET"),
        ("postgresql", "SELECT \"o'clock\", 'SECRET'"),
        ("postgresql", "SELECT ARRAY['SECRET', 'SECRET']"),
        ("postgresql", "SELECT 1 ` 'SECRET' ` 2"),
        ("postgresql", "SELECT 1 # 2, 'SECRET'"),
        ("postgresql", "/* a /* it's */ b's */ SELECT 'SECRET'"),
        ("mysql", 'SELECT "SECRET"'),
        ("mysql", 'SELECT "it\'s SECRET"'),
        ("mysql", "SELECT 5--'a\nSECRET'"),
        ("mysql", "SELECT 1 # it's\n, 'SECRET'"),
        ("mysql", "SELECT /*! '*/' */ 'SECRET'"),
        ("mysql", "SELECT `o'clock`, 'SECRET'"),
        ("sqlite", 'SELECT "SECRET"'),
        ("sqlite", "SELECT [o'clock], `o'clock`, 'SECRET'"),
        ("oracle", "SELECT q'[SECRET]'"),
    ],
)
def test_each_dialect_has_forms_of_its_own(dialect: str, statement: str) -> None:
    """And what is no form of a dialect hides nothing from it."""
    assert "SECRET" not in mask_sql(statement, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statement_itself_is_shown(dialect: str) -> None:
    """Names, operators and parameters."""
    statement = "SELECT a.name, t1.x2 FROM a JOIN t1 ON a.id = t1.a WHERE a.state = 'new' AND a.n > 5 AND b = %s"
    assert mask_sql(statement, dialect) == (
        "SELECT a.name, t1.x2 FROM a JOIN t1 ON a.id = t1.a WHERE a.state = ? AND a.n > ? AND b = %s"
    )


def _literal(value: str, dialect: str, form: str) -> str:
    """Return a value as a literal that the dialect's server reads as one."""
    if form == "dollar" and dialect == "postgresql" and "$" not in value:
        return f"$q${value}$q$"
    if form == "double" and dialect in {"mysql", "mariadb"}:
        escaped = value.replace("\\", "\\\\").replace('"', '""')
        return f'"{escaped}"'
    if form == "escaped" and dialect == "postgresql":
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"E'{escaped}'"
    doubled = value.replace("'", "''")
    return f"'{doubled}'" if dialect in {"postgresql", "sqlite"} else f"'{doubled.replace(chr(92), chr(92) * 2)}'"


_FORMS = ["plain", "dollar", "double", "escaped"]
_BETWEEN = [" ", ", ", "\n-- it's\n", " /* it's \" */ ", " + ", " AND x = "]
_SQL = "'\"`\\-/*#$[]();:%?@ \n\rEeXx0159ab,"


@pytest.mark.slow
@given(
    st.sampled_from(DIALECTS),
    st.lists(
        st.tuples(st.text(_SQL, max_size=12), st.sampled_from(["plain", "dollar", "double", "escaped"])), max_size=5
    ),
    st.lists(
        st.sampled_from([" ", ", ", "\n-- it's\n", " /* it's \" */ ", " + ", " AND x = "]), min_size=6, max_size=6
    ),
)
def test_no_value_of_any_literal_survives(dialect: str, values: list[tuple[str, str]], between: list[str]) -> None:
    """Text of all that has a meaning in SQL, in each form of literal, with comments between."""
    literals = [_literal(f"{text}SECRET{text}", dialect, form) for text, form in values]
    statement = "SELECT " + "".join(one for pair in zip(literals, between, strict=False) for one in pair)
    assert "SECRET" not in mask_sql(statement, dialect)
