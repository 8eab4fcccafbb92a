"""Read `SMS_CONF`, the dictionary by which the SMS tutorial's service names its providers. Nothing here does I/O.

SMS_CONF = {"aliyun": {"provider_cls": "app.sms.AliyunSmsProvider", "config": {"app_key": …, "template_id_map": {…}}}}
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from carboy.errors import Fault

_IDS = "template_id_map"
_RENAMED = {"sender": "sender_id", "domain": "url"}
_CLASS = re.compile(r"(\w+?)_?sms_?provider", re.IGNORECASE)


def providers_of(conf: Mapping[str, Any], accounts: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Return the providers as `SMS_PROVIDERS` has them; the tutorial's own classes are the built-in providers.

    Args:
        conf: the dictionary; what `conf_faults` finds in it is left out.
        accounts: the fields of each built-in provider's account.
    """
    return {
        name: {"use": _kind(table, accounts), **_fields(table)} for name, table in conf.items() if _is_readable(table)
    }


def templates_of(conf: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the templates of `SMS_TEMPLATES` with the ids of `template_id_map`; an id that is there already wins."""
    merged = dict(templates)
    for provider, table in conf.items():
        for template, number in _ids(table).items() if _is_readable(table) else ():
            if template in merged:
                merged[template] = {provider: number, **merged[template]}
    return merged


def conf_faults(
    conf: Mapping[str, Any], templates: Mapping[str, Any], accounts: Mapping[str, Mapping[str, str]]
) -> Iterator[Fault]:
    """Yield what cannot be read, each with what to write instead."""
    for name, table in conf.items():
        if not _is_readable(table):
            yield Fault(
                "SMS_CONF", f"`{name}` must be a table with `provider_cls` and `config`, which may have `{_IDS}`"
            )
            continue
        known = accounts.get(_kind(table, accounts))
        for field in sorted(set(_fields(table)) - set(known or _fields(table))):
            yield Fault("SMS_CONF", f"`{name}.config.{field}`: the account has {', '.join(known or ())}")
        for template in _ids(table):
            if template not in templates:
                yield Fault(
                    "SMS_CONF",
                    f"`{name}.config.{_IDS}.{template}` says nothing of its parameters: write"
                    f' [default.sms.templates.{template}] with their names in order, such as params = ["code"]',
                )


def _is_readable(table: Any) -> bool:
    return (
        isinstance(table, Mapping)
        and isinstance(table.get("provider_cls"), str)
        and isinstance(table.get("config", {}), Mapping)
        and isinstance(_ids(table), Mapping)
    )


def _kind(table: Mapping[str, Any], accounts: Mapping[str, Any]) -> str:
    named = _CLASS.fullmatch(re.split(r"[.:]", table["provider_cls"])[-1])
    kind = named[1].lower() if named else ""
    return kind if kind in accounts else str(table["provider_cls"])


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account's fields; what is empty is left to the settings, as the tutorial reads them from there too."""
    given: dict[str, Any] = {
        name: value
        for name, value in table.get("config", {}).items()
        if name != _IDS and value is not None and value != ""
    }
    fields = {_RENAMED.get(name, name): value for name, value in given.items()}
    if "domain" in given and "://" not in str(given["domain"]):
        fields["url"] = f"https://{given['domain']}"
    return fields


def _ids(table: Mapping[str, Any]) -> Any:
    return table.get("config", {}).get(_IDS, {})
