"""Templates: messages by name, each with its parameters and its ids at the providers. Nothing here does I/O.

[default.sms.templates.captcha]
params = ["code"]
otp = true
text = "Your code is {code}"
aliyun = "SMS_71390007"
huawei = {id = "8ff55eac", params = ["code"], signature = "Example"}
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from carboy.errors import Fault
from carboy.http_values import render_pointer

__all__ = ["Carried", "Template", "read_params", "read_template", "template_faults"]

_OWN = {"params", "otp", "text"}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
MAX_PARAM_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Carried:
    """A template as one provider knows it.

    Attributes:
        id: the provider's own.
        params: names in the order of the provider's positions.
        signature: the sender's sign; empty for the account's.
    """

    id: str
    params: tuple[str, ...]
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A message that may be sent.

    Attributes:
        name: its name in requests.
        params: the names that a request must have, no more and no fewer.
        otp: whether it carries a one-time password, so that `SMS_RECEIVER_LIMITS` applies.
        text: for providers that take a text; empty if there is none.
        carried: for providers that take an id, by the provider's name.
    """

    name: str
    params: tuple[str, ...]
    otp: bool = False
    text: str = ""
    carried: Mapping[str, Carried] | None = None

    def at(self, *providers: str) -> Carried | None:
        """Return its form at the first of these providers that has one; None if none has."""
        return next((self.carried[name] for name in providers if self.carried and name in self.carried), None)

    def render(self, params: Mapping[str, str]) -> str:
        """Return the text with its parameters; placeholders inside a parameter are not replaced."""
        return _PLACEHOLDER.sub(lambda found: params.get(found[1], found[0]), self.text)


def read_template(name: str, table: Mapping[str, Any]) -> Template:
    """Return the template of a table without `template_faults`."""
    params = tuple(table.get("params", ()))
    carried = {
        provider: Carried(value, params)
        if isinstance(value, str)
        else Carried(str(value["id"]), tuple(value.get("params", params)), str(value.get("signature", "")))
        for provider, value in table.items()
        if provider not in _OWN
    }
    return Template(name, params, bool(table.get("otp", False)), str(table.get("text", "")), carried)


def template_faults(name: str, table: Any, providers: Mapping[str, Any] | set[str]) -> Iterator[Fault]:
    """Yield the faults of a template's table.

    Args:
        name: its name.
        table: from the settings.
        providers: the names that a key may have, beside the template's own.
    """
    at = f"SMS_TEMPLATES.{name}"
    if not isinstance(table, Mapping):
        yield Fault("SMS_TEMPLATES", f"`{name}` must be a table")
        return
    params = table.get("params", [])
    if not _are_names(params):
        yield Fault("SMS_TEMPLATES", f"`{at}.params` must be a list of different names")
        return
    if not isinstance(table.get("otp", False), bool):
        yield Fault("SMS_TEMPLATES", f"`{at}.otp` must be true or false")
    text = table.get("text", "")
    if not isinstance(text, str):
        yield Fault("SMS_TEMPLATES", f"`{at}.text` must be a text")
    else:
        for unknown in sorted(set(_PLACEHOLDER.findall(text)) - set(params)):
            yield Fault("SMS_TEMPLATES", f"`{at}.text` uses `{unknown}`, which is none of its params")
    for provider in sorted(set(table) - _OWN):
        if provider not in providers:
            yield Fault("SMS_TEMPLATES", f"`{at}.{provider}`: there is no such provider")
            continue
        value = table[provider]
        if isinstance(value, Mapping):
            names = value.get("params", params)
            if "id" not in value or not _are_names(names) or not set(names) <= set(params):
                yield Fault("SMS_TEMPLATES", f"`{at}.{provider}` needs an `id`, and `params` that are the template's")
        elif not isinstance(value, str) or not value:
            yield Fault("SMS_TEMPLATES", f"`{at}.{provider}` must be the template's id there, or a table with `id`")


def read_params(template: Template, given: Any, pointer: str = "/params") -> tuple[dict[str, str], list[Fault]]:
    """Return the parameters in the template's order as texts, and every fault."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        return {}, [Fault(pointer, "it must be an object")]
    faults = [Fault(f"{pointer}/{name}", "the template needs it") for name in template.params if name not in given]
    params = {}
    for name, value in given.items():
        at = pointer + render_pointer((name,))
        if name not in template.params:
            faults.append(Fault(at, "the template has no such parameter"))
        elif isinstance(value, bool) or not isinstance(value, str | int):
            faults.append(Fault(at, "it must be a text or a whole number"))
        elif len(str(value)) > MAX_PARAM_CHARS:
            faults.append(Fault(at, f"it is longer than {MAX_PARAM_CHARS} characters"))
        else:
            params[name] = str(value)
    return {name: params[name] for name in template.params if name in params}, faults


def _are_names(given: Any) -> bool:
    return (
        isinstance(given, list | tuple)
        and all(isinstance(one, str) and one.isidentifier() for one in given)
        and len(set(given)) == len(given)
    )
