"""Replace every literal of an SQL statement by `?`, so that a trace can show it without a value.

Dialects disagree on what a literal is and where it ends, and a session can change it: where two readings are possible,
and where a literal or comment has no end, all that follows is hidden.

Sources: PostgreSQL 17, "Lexical Structure"; MariaDB, "String Literals" and "Comment Syntax"; SQLite, "SQL As Understood
By SQLite", literal values and comments.
"""

import re

_MASK = "?"
_KNOWN = ("postgresql", "mysql", "mariadb", "sqlite")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<comment>--|/\*|#)"
    r"|(?P<dollar>\$(?:[^\W\d]\w*)?\$)"
    r"|(?P<quote>(?:[EeBbXxNn]|[Uu]&)?')"
    r"|(?P<name>[\"`\[])"
    r"|(?P<parameter>%\(\w+\)s|%s|\$\d+|[:@]+[A-Za-z_]\w*|\?\d*)"
    r"|(?P<number>\.?\d(?:[eE][+-]|[\w.])*)"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<other>.)",
    re.DOTALL,
)


def mask_sql(statement: str, dialect: str) -> str:
    """Return the statement with `?` for each literal and without its comments.

    Args:
        statement: one or several, as they are sent.
        dialect: SQLAlchemy's name of the database; of one that is not known nothing is shown.
    """
    if dialect not in _KNOWN:
        return _MASK
    parts: list[str] = []
    at: int | None = 0
    while at is not None and at < len(statement):
        found = _TOKEN.match(statement, at)
        assert found is not None  # the last alternative takes anything
        shown, at = _read(str(found.lastgroup), found, dialect)
        parts.append(shown)
    return "".join(parts).strip()


def _read(kind: str, found: re.Match[str], dialect: str) -> tuple[str, int | None]:
    """Return what is shown of a token and where the next begins; None where all that follows is hidden."""
    text, sql, at = found[0], found.string, found.end()
    match kind:
        case "comment" if (end := _end_of_comment(sql, found.start(), dialect)) != found.start():
            return " ", end
        case "comment":
            return text[0], found.start() + 1
        case "dollar" if dialect == "postgresql":
            end = sql.find(text, at)
            return _MASK, None if end < 0 else end + len(text)
        case "quote":
            return _MASK, _end_of_quote(sql, at, "'", text[:-1], dialect)
        case "name" if text == "[" and dialect == "sqlite":
            end = sql.find("]", at)
            return (_MASK, None) if end < 0 else (sql[at - 1 : end + 1], end + 1)
        case "name" if text == "`" and dialect != "postgresql":
            end_of_name = _end_of_quote(sql, at, "`", "name", dialect)
            return sql[at - 1 : end_of_name] if end_of_name else _MASK, end_of_name
        case "name" if text == '"':
            is_name = dialect == "postgresql"  # on the others it may be text
            end_of_name = _end_of_quote(sql, at, '"', "name" if is_name else "", dialect)
            return sql[at - 1 : end_of_name] if is_name and end_of_name else _MASK, end_of_name
        case "number":
            return _MASK, at
        case "space":
            return " ", at
    return text, at


def _end_of_comment(sql: str, start: int, dialect: str) -> int | None:
    """Return where a comment ends: its start if this dialect has no such comment, None if it is not closed."""
    is_mysql = dialect in {"mysql", "mariadb"}
    if sql.startswith("/*", start):
        if is_mysql and sql.startswith(("/*!", "/*M!", "/*+"), start):
            return None  # it is run as code, and literals in it may hold the end of a comment
        end = sql.find("*/", start + 2)
        nests = "/*" in sql[start + 2 : max(end, 0)]  # PostgreSQL alone would go on after this end
        return None if end < 0 or nests else end + 2
    is_line = is_mysql if sql[start] == "#" else not is_mysql or sql[start + 2 : start + 3] <= " "
    if not is_line:
        return start
    breaks = "\n\r" if dialect == "postgresql" else "\n"
    return min((end for end in (sql.find(one, start) for one in breaks) if end >= 0), default=None)


def _end_of_quote(sql: str, at: int, quote: str, prefix: str, dialect: str) -> int | None:
    """Return the index behind a quoted token that began before `at`; None where that cannot be said.

    A backslash before the quote ends the text in standard SQL, and does not in MySQL or where a session says so.
    """
    while at < len(sql):
        char, next_char = sql[at], sql[at + 1 : at + 2]
        if char == "\\" and prefix != "name":
            if next_char == quote and (prefix not in {"E", "e"} or dialect != "postgresql"):
                return None
            at += 2
        elif char != quote:
            at += 1
        elif next_char == quote:
            at += 2
        else:
            return at + 1
    return None
