"""`carboy config edit`."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from carboy.cli.encrypted_file import ClosedFile, pass_file
from carboy.cli.output import note
from carboy.config.encrypted.decrypt import Opened, open_text, open_tree
from carboy.config.encrypted.drafts import DraftKey, make_draft_key
from carboy.config.encrypted.editing import private_folder, run_editor, split_editor
from carboy.config.encrypted.encrypt import close_text, template
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.yaml_edit import dump_json
from carboy.config.environ import read_environ
from carboy.errors import ConfigurationError, UsageError

_EDITORS = ("CARBOY_EDITOR", "FLEECE_EDITOR", "VISUAL", "EDITOR")


@dataclass(slots=True)
class _Edit:
    """One editing: what was, what the person sees first, and how a draft is kept."""

    before: bytes | None
    opened: Opened | None
    keyring: Keyring
    start: str
    draft_key: DraftKey | None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Edit JSON instead of YAML.")
@click.option(
    "--editor", "-e", metavar="CMD", help="The editor.  [default: CARBOY_EDITOR, FLEECE_EDITOR, VISUAL, EDITOR, or vi]"
)
@click.option("--continue/--discard", "go_on", default=None, help="What to do with an interrupted edit, unasked.")
@pass_file(short=False)
def edit(file: ClosedFile, as_json: bool, editor: str | None, go_on: bool | None) -> None:
    """Decrypt the file into an editor, and encrypt it again.

    The plain text lies in a private folder in memory while the editor runs. An interrupted edit is kept sealed, and
    can be continued.

    Example:
      carboy config edit --editor 'code --wait'
    """
    environ = read_environ()
    words = split_editor(editor or next((found for name in _EDITORS if (found := environ.get(name))), "vi"))
    editing = _begin(file, as_json)
    text = _draft(file, editing, go_on)
    is_json = as_json or editing.start.lstrip().startswith("{")
    with private_folder() as folder:
        path = folder / ("config.json" if is_json else "config.yml")
        _write(path, editing.start if text is None else text)
        try:
            _edit_until_right(file, editing, words, path)
        except BaseException:
            _keep(file, editing, path, text)
            raise
    file.drawer.drop_draft()


def _begin(file: ClosedFile, as_json: bool) -> _Edit:
    before = file.load()
    if before is None:
        first = template(file.credentials_of.known() or (), file.name)
        return _Edit(None, None, file.keyring(), dump_json(first.tree) if as_json else first.text, None)
    opened, keyring = file.open(before)
    is_json = as_json or opened.config.document.is_json
    start = dump_json(open_tree(opened)) if is_json else open_text(opened)
    parts = file.drawer.draft_parts()
    key = (make_draft_key(opened, keyring, parts) if parts else None) or make_draft_key(opened, keyring)
    return _Edit(before, opened, keyring, start, key)


def _draft(file: ClosedFile, editing: _Edit, go_on: bool | None) -> str | None:
    """Return the text of an interrupted edit, where the user continues it."""
    if file.drawer.draft_parts() is None:
        return None
    text = file.drawer.open_draft(editing.draft_key)
    if text is None:
        note("An interrupted edit was kept, but the file has new keys since: it cannot be opened, and is dropped.")
        return None
    if go_on is None:
        question = "An interrupted edit was kept. (C)ontinue it or (A)bort it?"
        try:
            answer = click.prompt(question, type=click.Choice(["c", "a"], case_sensitive=False), err=True)
        except click.Abort:
            raise UsageError(
                "an interrupted edit was kept", "neither option was given", "--continue or --discard"
            ) from None
        go_on = answer.lower() == "c"
    if not go_on:
        file.drawer.drop_draft()
    return text if go_on else None


def _edit_until_right(file: ClosedFile, editing: _Edit, words: list[str], path: Path) -> None:
    while True:
        run_editor(words, path)
        text = path.read_bytes()
        if text == editing.start.encode():
            note("nothing changed")
            return
        try:
            closed = close_text(text, "what you wrote", editing.opened, editing.keyring)
            if closed is not None:
                file.write(closed, editing.before)
        except ConfigurationError as error:
            if file.load() != editing.before:
                raise
            for fault in error.faults:
                note(f"{fault.pointer}: {fault.detail}")
            note(f"error: {error.what}")
            if not _asks_again():
                raise
        else:
            note(f"wrote {file.name}" if closed is not None else "nothing changed")
            return


def _asks_again() -> bool:
    try:
        return click.confirm("Edit again?", default=True, err=True)
    except click.Abort:
        return False


def _keep(file: ClosedFile, editing: _Edit, path: Path, draft: str | None) -> None:
    """Keep what the person wrote, sealed, when the edit ends without being taken."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return
    if text in {editing.start, ""} and draft is None:
        return
    if file.drawer.keep_draft(editing.draft_key, text):
        note("What you wrote is kept, sealed: `carboy config edit` continues it.")
    else:
        note("What you wrote could not be kept: no stage has a key yet.")


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
