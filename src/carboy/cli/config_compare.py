"""`carboy config diff`, and the merge driver that git calls."""

import hashlib
import hmac
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from carboy.cli.encrypted_file import ClosedFile, pass_file
from carboy.cli.output import note
from carboy.config.encrypted.decrypt import render_stage
from carboy.config.encrypted.file import read_file
from carboy.config.encrypted.key_paths import Path as KeyPath
from carboy.config.encrypted.key_paths import leaves, show
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.merging import Conflicts, merge_configs
from carboy.config.encrypted.render import scalar_text
from carboy.config.encrypted.structure import Config, parse_config
from carboy.config.encrypted.yaml_edit import same
from carboy.errors import CarboyError, UsageError


@click.command()
@click.argument("stages", metavar="[STAGE [STAGE]]", nargs=-1)
@click.option("--rev", metavar="REV", help="Compare with the file at a revision of git.")
@click.option("--show", "shows", is_flag=True, help="Print values; secrets as well.")
@pass_file()
def diff(file: ClosedFile, stages: tuple[str, ...], rev: str | None, shows: bool) -> None:
    """Show what differs between two stages, or since a revision of git; values as hashes, good for this output only.

    With --rev and no stage the closed forms are compared, which needs no KMS.

    Example:
      carboy config diff staging prod
      carboy config diff --rev HEAD~3 prod
    """
    if len(stages) > 2 or (rev is None) == (len(stages) < 2):
        raise UsageError(
            "two things can be compared", "two stages, or a revision with at most one stage",
            "carboy config diff STAGE STAGE, or carboy config diff --rev REV [STAGE]",
        )  # fmt: skip
    config, _ = file.read()
    keyring = file.keyring(config)
    if rev is None:
        sides = [_values(config, keyring, stage) for stage in stages]
    else:
        old = parse_config(_at_revision(file.path, rev), f"{file.name} at {rev}")
        sides = [
            _values(side, file.keyring(side), stages[0]) if stages else dict(leaves(side.tree))
            for side in (old, config)
        ]
    _print_changes(*sides, shows=shows)


def _values(config: Config, keyring: Keyring, stage: str) -> dict[KeyPath, object]:
    return dict(leaves(render_stage(config, stage, keyring)))


def _print_changes(old: Mapping[KeyPath, object], new: Mapping[KeyPath, object], *, shows: bool) -> None:
    salt = os.urandom(16)  # a hash that is good elsewhere would let one guess

    def mark(value: object) -> str:
        text = scalar_text(value)
        if shows:
            return json.dumps(text, ensure_ascii=False) if "\n" in text else text
        return hmac.new(salt, f"{type(value).__name__}:{text}".encode(), hashlib.sha256).hexdigest()[:12]

    for path in [*old, *(path for path in new if path not in old)]:
        if path not in new:
            click.echo(f"- {show(path)}\t{mark(old[path])}")
        elif path not in old:
            click.echo(f"+ {show(path)}\t{mark(new[path])}")
        elif not same(old[path], new[path]):
            click.echo(f"~ {show(path)}\t{mark(old[path])}\t{mark(new[path])}")


def _at_revision(path: Path, rev: str) -> bytes:
    if rev.startswith("-"):
        raise UsageError(f"`{rev}` is not a revision", "it looks like an option", "name a commit, a branch or a tag")
    folder = path.resolve().parent
    found = subprocess.run(["git", "-C", str(folder), "show", f"{rev}:./{path.name}"], capture_output=True, check=False)
    if found.returncode != 0:
        raise UsageError(
            f"`{path.name}` cannot be read at `{rev}`",
            "git does not have it there",
            "check the revision and the folder",
        )
    return found.stdout


@click.command("merge-driver")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@pass_file()
def merge_driver(file: ClosedFile, base: Path, ours: Path, theirs: Path, name: str | None) -> None:
    """Merge changes to the file; called by git.

    KMS is asked only for stages whose secrets both changed. Where both changed the same value, git's own conflict
    markers are left, and the exit code is 1.

    Example:
      echo 'config.yml merge=carboy' >> .gitattributes
      git config merge.carboy.driver 'carboy config merge-driver %O %A %B %P'
    """
    shown = name or file.name
    try:
        texts = [read_file(path) or b"" for path in (base, ours, theirs)]
        was = parse_config(texts[0], shown) if texts[0].strip() else None
        our, their = parse_config(texts[1], shown), parse_config(texts[2], shown)
        merged = merge_configs(was, our, their, file.keyring(our), _merge_lines)
        parse_config(merged, shown)
        ours.write_bytes(merged.encode())
    except (Conflicts, CarboyError) as error:
        subprocess.run(["git", "merge-file", str(ours), str(base), str(theirs)], check=False)
        if isinstance(error, CarboyError):
            raise
        for changed in error.paths:
            note(f"CONFLICT in {shown}: both sides changed {changed}")
        note("Resolve it, then: carboy config rekey --after-merge")
        raise SystemExit(1) from None


def _merge_lines(base: str, ours: str, theirs: str) -> str | None:
    """Return git's merge by line of three closed forms; None where it finds conflicts."""
    with tempfile.TemporaryDirectory(prefix="carboy-merge-") as folder:
        paths = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_text(text, "utf-8", newline="")
        found = subprocess.run(["git", "merge-file", "-p", *map(str, paths)], capture_output=True, check=False)
    return found.stdout.decode(errors="replace") if found.returncode == 0 else None
