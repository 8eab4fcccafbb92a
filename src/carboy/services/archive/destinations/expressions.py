"""JMESPath expressions: compiled, with their functions checked, and computed over documents of unknown shape."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from carboy.extras import extra

Search = Callable[[Any], Any]


def compile_expression(text: str) -> Search:
    """Return a function that searches a document by a JMESPath expression.

    Functions are checked here too: JMESPath itself would find an unknown one only over a document.

    Raises:
        ValueError: it does not compile, or calls a function that JMESPath does not have, or with too many or too few
            arguments; the message says which.
    """
    with extra("archive"):
        import jmespath
        from jmespath.exceptions import JMESPathError
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"does not compile as JMESPath: {_why(text, error)}") from None
    _check_functions(compiled.parsed)
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


def is_match(search: Search, document: Any) -> bool:
    """Return whether an expression is true of a document as JMESPath has it; one that cannot be computed is not."""
    try:
        found = search(document)
    except Exception:  # noqa: BLE001 (a function that gets the wrong type: this event is not what is looked for)
        return False
    return found is not None and found is not False and found not in ("", [], {})
