"""Map the claims of a person to scopes, by the table `[console.roles]`."""

from collections.abc import Mapping
from typing import Any

from carboy.web.auth.api_keys import SCOPES
from carboy.web.settings import WebSettings

__all__ = ["scopes_of"]


def scopes_of(claims: Mapping[str, Any], web: WebSettings) -> list[str]:
    """Return the scopes that a person has by the values of `CONSOLE_OIDC_CLAIM`; an empty list for none.

    Args:
        claims: as the identity provider signed them; the claim is a text or a list of texts.
        web: with `console_roles`: scopes by value, where `*` is everybody, and all scopes.
    """
    given = claims.get(web.console_oidc_claim)
    values = {str(one) for one in given} if isinstance(given, list | tuple) else set(str(given or "").split())
    found = {scope for value in {*values, "*"} for scope in web.console_roles.get(value, ())}
    return sorted((found - {"*"}) | (set(SCOPES) if "*" in found else set()))
