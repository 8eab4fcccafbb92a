r"""Templates: messages by name, each with its parameters and its ids at the providers. Nothing here does I/O.

[default.sms.templates.captcha]
kind = "otp"
params = {code = {max_length = 8, pattern = "\d+"}}
text = "Your code is {code}"
aliyun = {CN = "SMS_71390007", default = "SMS_71390008"}
huawei = {id = "8ff55eac", params = ["code"], signature = "Example"}
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from carboy.errors import Fault
from carboy.http_values import render_pointer
from carboy.services.sms.parameter_rules import ParameterRule, has_url, read_rule, rule_faults
from carboy.services.sms.segments import downgrade_to_gsm

Kind = Literal["otp", "transactional", "marketing"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OWN = {"params", "otp", "text", "kind", "allow_urls", "downgrade", "retry_undelivered", "dlt_template_id"}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_REGION = re.compile(r"[A-Z]{2}|default")
MAX_RETRIES = 5
_ANY = ParameterRule()


@dataclass(frozen=True, slots=True)
class Carried:
    """A template as one provider knows it.

    Attributes:
        id: the provider's own.
        params: names in the order of the provider's positions.
        signature: the sender's sign; empty for the account's.
        regions: ids for the receivers of one country, by its ISO 3166 code, over `id`.
    """

    id: str
    params: tuple[str, ...]
    signature: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)

    def id_for(self, country: str) -> str:
        """Return the id for receivers of a country; empty if the provider has none for it."""
        return self.regions.get(country, self.id)


@dataclass(frozen=True, slots=True)
class Template:
    """A message that may be sent.

    Attributes:
        name: its name in requests.
        params: the names that a request must have, no more and no fewer.
        otp: whether it carries a one-time password, so that `SMS_RECEIVER_LIMITS` applies.
        kind: `marketing` messages respect opt-outs; each kind may have quiet hours.
        text: for providers that take the message's text; empty without one.
        carried: for providers that take an id, by the provider's name.
        rules: of the parameters, by name.
        allow_urls: whether parameters may have addresses of the web.
        downgrade: whether typographic characters are replaced, so that the text fits the GSM alphabet.
        retry_undelivered: how often a message is sent again after a temporary delivery failure.
        dlt_template_id: the id at India's DLT platform; empty for none.
    """

    name: str
    params: tuple[str, ...]
    otp: bool = False
    text: str = ""
    carried: Mapping[str, Carried] | None = None
    kind: Kind = "transactional"
    rules: Mapping[str, ParameterRule] = field(default_factory=dict)
    allow_urls: bool = True
    downgrade: bool = False
    retry_undelivered: int = 0
    dlt_template_id: str = ""

    def at(self, *providers: str) -> Carried | None:
        """Return its form at the first of these providers that has one; None if none has."""
        return next((self.carried[name] for name in providers if self.carried and name in self.carried), None)

    def render(self, params: Mapping[str, str]) -> str:
        """Return the text with its parameters; placeholders inside a parameter are not replaced."""
        text = _PLACEHOLDER.sub(lambda found: params.get(found[1], found[0]), self.text)
        return downgrade_to_gsm(text) if self.downgrade else text


def read_template(name: str, table: Mapping[str, Any]) -> Template:
    """Return the template of a table without `template_faults`."""
    declared = table.get("params", ())
    params = tuple(declared)
    rules = {one: read_rule(rule) for one, rule in declared.items()} if isinstance(declared, Mapping) else {}
    carried = {provider: _read_carried(value, params) for provider, value in table.items() if provider not in _OWN}
    is_otp = bool(table.get("otp", table.get("kind") == "otp"))
    return Template(
        name,
        params,
        is_otp,
        str(table.get("text", "")),
        carried,
        "otp" if is_otp else table.get("kind", "transactional"),
        rules,
        bool(table.get("allow_urls", True)),
        table.get("downgrade") == "gsm7",
        int(table.get("retry_undelivered", 0)),
        str(table.get("dlt_template_id", "")),
    )


def _read_carried(value: Any, params: tuple[str, ...]) -> Carried:
    if isinstance(value, str):
        return Carried(value, params)
    ids = value.get("id", value)
    if not isinstance(ids, Mapping):
        ids = {"default": str(ids)}
    regions = {region: str(one) for region, one in ids.items() if region != "default"}
    default = str(ids.get("default", ""))
    names = tuple(value.get("params", params)) if "id" in value else params
    return Carried(default, names, str(value.get("signature", "")), regions)


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
        yield Fault("SMS_TEMPLATES", f"`{at}.params` must be a list of different names, or a table of rules by name")
        return
    if isinstance(params, Mapping):
        for one, rule in params.items():
            for why in rule_faults(rule):
                yield Fault("SMS_TEMPLATES", f"`{at}.params.{one}` {why}")
    yield from _option_faults(at, table)
    text = table.get("text", "")
    if not isinstance(text, str):
        yield Fault("SMS_TEMPLATES", f"`{at}.text` must be a text")
    else:
        for unknown in sorted(set(_PLACEHOLDER.findall(text)) - set(params)):
            yield Fault("SMS_TEMPLATES", f"`{at}.text` uses `{unknown}`, which is none of its params")
    for provider in sorted(set(table) - _OWN):
        if provider not in providers:
            yield Fault("SMS_TEMPLATES", f"`{at}.{provider}`: there is no such provider")
        elif not _is_carried(table[provider], params):
            yield Fault(
                "SMS_TEMPLATES",
                f"`{at}.{provider}` must be the template's id there, ids by country (`CN`, `default`), or a table with"
                " `id`, and `params` that are the template's",
            )


def _option_faults(at: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("otp", "allow_urls"):
        if not isinstance(table.get(name, False), bool):
            yield Fault("SMS_TEMPLATES", f"`{at}.{name}` must be true or false")
    kind = table.get("kind", "transactional")
    if kind not in KINDS:
        yield Fault("SMS_TEMPLATES", f"`{at}.kind` must be one of {', '.join(KINDS)}")
    elif "kind" in table and isinstance(table.get("otp"), bool) and table["otp"] != (kind == "otp"):
        yield Fault("SMS_TEMPLATES", f'`{at}.otp` contradicts `kind = "{kind}"`')
    if table.get("downgrade", "gsm7") not in {"gsm7", ""}:
        yield Fault("SMS_TEMPLATES", f"`{at}.downgrade` must be `gsm7`")
    retries = table.get("retry_undelivered", 0)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        yield Fault("SMS_TEMPLATES", f"`{at}.retry_undelivered` must be from 0 to {MAX_RETRIES}")
    if not isinstance(table.get("dlt_template_id", ""), str):
        yield Fault("SMS_TEMPLATES", f"`{at}.dlt_template_id` must be a text")


def _is_carried(value: Any, params: Any) -> bool:
    if isinstance(value, str):
        return bool(value)
    if not isinstance(value, Mapping):
        return False
    if "id" not in value:
        return _are_ids(value)
    names = value.get("params", params)
    is_id = _are_ids(value["id"]) if isinstance(value["id"], Mapping) else bool(str(value["id"]))
    return is_id and _are_names(names) and set(names) <= set(params)


def _are_ids(ids: Mapping[str, Any]) -> bool:
    """Return whether these are a provider's ids of a template by country."""
    return bool(ids) and all(_REGION.fullmatch(name) and isinstance(one, str) and one for name, one in ids.items())


def read_params(template: Template, given: Any) -> tuple[dict[str, str], list[Fault]]:
    """Return the parameters in the template's order as texts, and every fault."""
    given = {} if given is None else given
    if not isinstance(given, dict):
        return {}, [Fault("/params", "it must be an object")]
    faults = [Fault(f"/params/{name}", "the template needs it") for name in template.params if name not in given]
    params = {}
    for name, value in given.items():
        at = "/params" + render_pointer((name,))
        if name not in template.params:
            faults.append(Fault(at, "the template has no such parameter"))
        elif isinstance(value, bool) or not isinstance(value, str | int):
            faults.append(Fault(at, "it must be a text or a whole number"))
        elif why := template.rules.get(name, _ANY).fault(str(value)):
            faults.append(Fault(at, why))
        elif not template.allow_urls and has_url(str(value)):
            faults.append(Fault(at, "it has an address of the web, and the template has `allow_urls = false`"))
        else:
            params[name] = str(value)
    return {name: params[name] for name in template.params if name in params}, faults


def _are_names(given: Any) -> bool:
    return (
        isinstance(given, list | tuple | Mapping)
        and all(isinstance(one, str) and one.isidentifier() for one in given)
        and len(set(given)) == len(given)
    )
