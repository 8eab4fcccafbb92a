"""Map the claims of a person to scopes, by the table `[console.roles]`."""

from collections.abc import Mapping
from typing import Any

from carboy.web.auth.api_keys import SCOPES
from carboy.web.runtime import Runtime
from carboy.web.settings import WebSettings


def all_scopes(current: Runtime) -> list[str]:
    """Return the scopes that a key can be given: Carboy's own, and those of the modules' pages."""
    return sorted({*SCOPES, *(page.scope for page in current.pages if page.scope)})


def scopes_of(claims: Mapping[str, Any], web: WebSettings) -> list[str]:
    """Return the scopes that a person has by the values of `CONSOLE_OIDC_CLAIM`, `*` for all; an empty list for none.

    Args:
        claims: as the identity provider signed them; the claim is a text or a list of texts.
        web: with `console_roles`: scopes by value, where `*` is everybody, and all scopes.
    """
    given = claims.get(web.console_oidc_claim)
    values = {str(one) for one in given} if isinstance(given, list | tuple) else set(str(given or "").split())
    return sorted({scope for value in {*values, "*"} for scope in web.console_roles.get(value, ())})
