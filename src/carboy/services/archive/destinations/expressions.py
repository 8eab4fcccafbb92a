"""JMESPath expressions: compiled, with their functions checked, and computed over documents of unknown shape."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carboy.extras import extra

Search = Callable[[Any], Any]


def compile_expression(text: str) -> Search:
    """Return a function that searches a document by a JMESPath expression.

    Functions are checked here too: JMESPath itself would find an unknown one only over a document.

    Raises:
        ValueError: it does not compile, calls a function that JMESPath does not have, or with too many or too few
            arguments, or has the name of a field where text is meant; the message says which.
    """
    with extra("archive"):
        import jmespath
        from jmespath.exceptions import JMESPathError
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"does not compile as JMESPath: {_why(text, error)}") from None
    _check_functions(compiled.parsed)
    _check_quotes(text)
    search: Search = compiled.search
    return search


def _why(text: str, error: Exception) -> str:
    """Return why an expression does not compile, and where; JMESPath's own message has several lines."""
    token, place = getattr(error, "token_value", ""), getattr(error, "lex_position", 0)
    what = f"`{token}` is not expected at column {place + 1}" if token else "it ends too early"
    is_number = re.search(r"[<>=!]=?\s*-?[0-9]", text)
    hint = "; a number stands between backticks, such as severity <= `2`" if is_number else ""
    return what + hint


def _check_functions(node: Mapping[str, Any]) -> None:
    from jmespath.functions import Functions

    children = node["children"]
    if node["type"] == "function_expression":
        name, given = node["value"], len(children)
        known = Functions.FUNCTION_TABLE.get(name)
        if known is None:
            raise ValueError(f"does not compile as JMESPath: it has no function `{name}`")
        signature = known["signature"]
        is_variadic = bool(signature) and signature[-1].get("variadic", False)
        if given < len(signature) or (given > len(signature) and not is_variadic):
            takes = f"at least {len(signature)}" if is_variadic else f"{len(signature)}"
            raise ValueError(f"does not compile as JMESPath: `{name}` takes {takes} arguments and has {given}")
    for child in children:
        if isinstance(child, dict):
            _check_functions(child)


_COMPARATORS = frozenset(("eq", "ne", "lt", "lte", "gt", "gte"))
_TEXT_ARGUMENTS = frozenset((("contains", 1), ("starts_with", 1), ("ends_with", 1), ("join", 0)))
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _check_quotes(text: str) -> None:
    """Raise where a name in double quotes stands for text: of an event that has neither field, both are null and equal.

    A field in double quotes on the left of a comparison stays one, where its name needs the quotes.
    """
    from jmespath.lexer import Lexer

    tokens = [{"type": "", "value": ""}, *Lexer().tokenize(text)]
    calls: list[tuple[str, int]] = []  # the function and the argument that each bracket is in
    for at, token in enumerate(tokens):
        match token["type"]:
            case "lparen" | "lbracket" | "filter" | "lbrace":
                calls.append((tokens[at - 1]["value"] if token["type"] == "lparen" else "", 0))
            case "rparen" | "rbracket" | "rbrace":
                calls.pop()
            case "comma":
                calls[-1] = calls[-1][0], calls[-1][1] + 1
            case "quoted_identifier" if _stands_for_text(tokens, at, calls):
                place, length, value = token["start"], token["end"], token["value"]
                meant = f"{text[:place]}'{value}'{text[place + length :]}"
                field = value if _PLAIN.fullmatch(value) else f'@."{value}"'
                raise ValueError(
                    f"has the field `{value}` where text is meant: text stands between single quotes, such as"
                    f" {meant} (and what the archive knows of an event is _type, _source, _id and _received_at);"
                    f" if the field is meant, write {field}"
                )


def _stands_for_text(tokens: Sequence[Mapping[str, Any]], at: int, calls: Sequence[tuple[str, int]]) -> bool:
    kinds: list[str] = [one["type"] for one in tokens]
    before, after = kinds[at - 1], kinds[at + 1]
    if before == "dot" or after in {"dot", "lbracket", "flatten", "filter", "colon"}:
        return False
    if before in _COMPARATORS:
        return kinds[at - 2] != "literal"
    if after in _COMPARATORS:
        return kinds[at + 2] != "literal" and bool(_PLAIN.fullmatch(tokens[at]["value"]))
    return bool(calls) and calls[-1] in _TEXT_ARGUMENTS and before in {"lparen", "comma"}


def is_match(search: Search, document: Any) -> bool:
    """Return whether an expression is true of a document as JMESPath has it; one that cannot be computed is not."""
    try:
        found = search(document)
    except Exception:  # noqa: BLE001 (a function that gets the wrong type: this event is not what is looked for)
        return False
    return found is not None and found is not False and found not in ("", [], {})
