"""The page of the senders: each preset, from the data that verifies them."""

from docs.tools.reference.tables import page, table

from carboy.webhooks import Preset, list_presets

__all__ = ["render_senders"]

_OWNERS = {"sender": "the sender", "you": "you", "exchange": "the sender, in an exchange", "none": "–"}


def render_senders() -> str:
    """Return the page of the senders: what each needs, where it is entered, and what is checked."""
    presets = list_presets()
    rows = [
        (f"`{one.name}`", f"[{one.title}]({one.docs})", f"`{one.needs}`", _OWNERS[one.secret], one.enter, _checked(one))
        for one in presets
    ]
    details = [(f"`{one.name}`", _keys(one), one.note) for one in presets]
    return page(
        "Senders",
        "A source needs the name of its sender and what the sender needs: see\n"
        "[keep what any sender sends](../how-to/any-sender-to-s3.md). Each name links to the sender's\n"
        "document. *Checked* is how the preset was verified: against an example that the sender publishes and a test\n"
        "repeats, against the source of the sender's own SDK, against its document, or against the source of a public\n"
        "receiver, which is not the sender's. For *not checked* none of these was found: send a test event before\n"
        "you rely on one.",
        table(("preset", "sender", "needs", "who makes the secret", "where the address is entered", "checked"), rows),
        "## What each preset sets",
        "A source's own keys replace these, one by one.",
        table(("preset", "keys", "note"), details),
    )


def _checked(preset: Preset) -> str:
    is_checked = preset.checked != "not checked"
    return f"[{preset.checked}]({preset.evidence or preset.docs})" if is_checked else preset.checked


def _keys(preset: Preset) -> str:
    return " ".join(f"`{key} = {_text(value)}`" for key, value in preset.keys.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else f'"{value}"'
