"""`carboy config`: configuration in git, its secrets encrypted by KMS, per stage."""

import sys
from typing import Any

import click

from carboy.cli.config_compare import diff, merge_driver
from carboy.cli.config_edit import edit
from carboy.cli.config_store import history, rollback, upload
from carboy.cli.encrypted_file import ClosedFile, common_options, note_options, pass_file
from carboy.cli.output import note
from carboy.config.encrypted.decrypt import downgraded, open_secrets, open_text, open_tree, render_stage
from carboy.config.encrypted.encrypt import close_text, rekey_text, remac_text, set_text, template
from carboy.config.encrypted.key_paths import parse
from carboy.config.encrypted.render import encrypt_buffers, render_env, render_python, scalar_text
from carboy.config.encrypted.structure import Config, faulty, unresolved
from carboy.config.encrypted.yaml_edit import dump_json, dump_yaml
from carboy.errors import ConfigurationError, Fault, Refused, UsageError


@click.group("config")
@common_options()
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Edit and render encrypted configuration that is kept in git.

    Example:
      carboy config edit
      carboy config render prod --json
      carboy config render prod --parameter-store /prod_orders --dry-run
    """
    note_options(ctx, given)


for _one in (edit, diff, merge_driver, history, rollback):
    command.add_command(_one)


@command.command("import")
@pass_file()
def import_(file: ClosedFile) -> None:
    """Encrypt YAML or JSON from stdin into the file.

    What did not change keeps its bytes.

    Example:
      carboy config export > open.yml; …; carboy config import < open.yml
    """
    data = sys.stdin.buffer.read()
    before = file.load()
    text = data.decode("utf-8-sig", errors="replace")
    if before is not None and (data == before or file.drawer.is_marked(before, text)):
        note(f"nothing changed in {file.name}")
        return
    opened, keyring = file.open(before) if before is not None else (None, file.keyring())
    closed = close_text(data, "stdin", opened, keyring)
    if closed is not None:
        file.write(closed, before)
    file.drawer.mark(file.load() or b"", text)
    note(f"wrote {file.name}" if closed is not None else f"nothing changed in {file.name}")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
@pass_file()
def export(file: ClosedFile, as_json: bool) -> None:
    """Print the decrypted file, or a template for a new one.

    Example:
      carboy config export --json | jq .config
    """
    data = file.load()
    if data is None:
        first = template(file.credentials_of.known() or (), file.name)
        click.echo(dump_json(first.tree) if as_json else first.text, nl=False)
        return
    opened, _ = file.open(data)
    is_json = as_json or opened.config.document.is_json
    text = dump_json(open_tree(opened)) if is_json else open_text(opened)
    file.drawer.mark(data, text)
    click.echo(text, nl=False)


@command.command()
@click.argument("stage")
@click.option("--environment", "-e", help="Whose credentials and key are used.  [default: the stage's]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
@click.option("--env", "as_env", is_flag=True, help="Print NAME=value lines (dotenv).")
@click.option("--encrypt", is_flag=True, help="Print a JSON list of encrypted base64 buffers.")
@click.option("--python", "as_python", is_flag=True, help="Print a module whose CONFIG decrypts itself with boto3.")
@click.option("--parameter-store", metavar="PREFIX", help="Write to Parameter Store below a prefix.")
@click.option("--ssm-kms-key", metavar="KEY", help="The parameters' KMS key: id, ARN, alias.  [default: AWS's own]")
@click.option("--tier", type=click.Choice(["Standard", "Advanced", "Intelligent-Tiering"]), help="Of the parameters.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, without values.")
@click.option("--prune", is_flag=True, help="Delete parameters that the stage no longer has, after asking.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_file(short=False)
def render(file: ClosedFile, stage: str, environment: str | None, **given: Any) -> None:
    """Print or upload the values of a stage.

    Example:
      carboy config render prod --json
      carboy config render prod --python > service/settings.py
      carboy config render prod --parameter-store /prod_orders --dry-run
    """
    ways = [
        way
        for way in ("as_json", "as_env", "encrypt", "as_python", "parameter_store")
        if given[way] not in {None, False}
    ]
    if len(ways) > 1:
        raise UsageError(
            "the values can be rendered one way at a time", "several were asked for",
            "give one of --json, --env, --encrypt, --python, --parameter-store",
        )  # fmt: skip
    extra = [name for name in ("ssm_kms_key", "tier", "dry_run", "prune", "yes") if given[name]]
    if extra and given["parameter_store"] is None:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in extra)
        raise UsageError(f"{names} means nothing here", "nothing is uploaded", "give --parameter-store PREFIX as well")
    config, _ = file.read()
    if environment is not None and (file.credentials_of.known() is not None):
        file.credentials_of.find(environment)
    keyring = file.keyring(config, environment)
    values = render_stage(config, stage, keyring)
    if given["parameter_store"] is not None:
        upload(file, environment or config.stage(stage).environment, stage, values, given)
    elif given["encrypt"] or given["as_python"]:
        entry = file.key_for(config, stage, environment)
        service = keyring.service(entry)
        if given["encrypt"]:
            click.echo(dump_json(encrypt_buffers(values, service, entry.key_id)), nl=False)
        else:
            context = keyring.context(stage, "render/2")
            click.echo(render_python(values, service, entry.key_id, context), nl=False)
    elif given["as_env"]:
        click.echo(render_env(values), nl=False)
    else:
        click.echo(dump_json(values) if given["as_json"] else dump_yaml(values), nl=False)


@command.command("set")
@click.argument("stage")
@click.argument("path")
@click.option("--plain", is_flag=True, help="Keep the value as plain text, not as a secret.")
@pass_file()
def set_(file: ClosedFile, stage: str, path: str, plain: bool) -> None:
    """Set one value of a stage, read from stdin or a prompt.

    It takes no right to decrypt: a new secret is sealed under a data key of its own, which the next rekey folds in.
    One newline at the end of stdin is not part of the value.

    Example:
      printf %s "$TOKEN" | carboy config set prod slack.token
    """
    config, before = file.read()
    if sys.stdin.isatty():
        value = click.prompt("Value", hide_input=True, err=True)
    else:
        try:
            value = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError(
                "the value cannot be kept", "it is not text in UTF-8", "encode it, in base64 say"
            ) from None
    if not value and not plain:  # the variable of a script, most likely, that is not set
        raise UsageError(
            "the secret cannot be set",
            "stdin holds nothing",
            "see what comes into it; an empty secret is kept by `carboy config edit`",
        )
    text = set_text(config, file.keyring(config), stage, path, value, is_secret=not plain)
    file.write(text, before)
    note(f"wrote {file.name}")


@command.command()
@click.argument("stage")
@click.argument("path")
@pass_file()
def get(file: ClosedFile, stage: str, path: str) -> None:
    """Print one value of a stage; anything but text as JSON.

    Example:
      carboy config get prod nested.a_list.0.password1
    """
    config, _ = file.read()
    node: Any = render_stage(config, stage, file.keyring(config))
    for step in parse(path):
        if isinstance(node, list) and step.isascii() and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
            continue
        keys = [key for key in node if str(key) == step] if isinstance(node, dict) else []
        if not keys:
            raise ConfigurationError(
                f"`{path}` has no value for `{stage}`", f"there is no `{step}`", "correct the path"
            )
        node = node[keys[0]]
    click.echo(scalar_text(node))


@command.command()
@click.option("--offline", is_flag=True, help="Check what can be checked without KMS.")
@pass_file()
def check(file: ClosedFile, offline: bool) -> None:
    """Check the file's structure and MACs, and that no stage lacks a value.

    Example:
      carboy config check --offline
    """
    config, _ = file.read()
    faults = unresolved(config) + downgraded(config, config.secrets, config.seals)
    known = file.credentials_of.known()
    if known is not None:
        faults += [
            config.document.fault(
                ("stages", name),
                f"its environment `{stage.environment}` is not in `{file.credentials_of.environments}`",
                name,
            )
            for name, stage in config.stages.items()
            if stage.environment not in known
        ]
    if faults:
        raise faulty(file.name, faults)
    if not offline:
        open_secrets(config, file.keyring(config))
        _check_keys(file, config)
    note(f"{file.name}: {len(config.stages)} stages, {len(config.secrets)} secrets, no fault")


def _check_keys(file: ClosedFile, config: Config) -> None:
    """Compare the KMS keys that `stages` name with those that seal; needs kms:DescribeKey, and does without."""
    faults = []
    for name, block in config.seals.items():
        stage = config.stages[name]
        try:
            now = file.service(stage.environment).describe(stage.key_id)
        except Refused:
            continue
        if now != block.kms:
            detail = f"is sealed under `{block.kms}`, but `{stage.key}` is `{now}`: carboy config rekey {name}"
            faults.append(Fault(f"{file.name}: seal.{name}.kms", detail))
    if faults:
        raise faulty(file.name, faults)


@command.command()
@click.argument("stage", required=False)
@click.option("--sealed", is_flag=True, help="Move Fleece's `:decrypt:` values to the sealed form.")
@click.option(
    "--after-merge",
    is_flag=True,
    help="Take the secrets as they stand though a MAC does not match, after a merge by hand.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_file()
def rekey(file: ClosedFile, stage: str | None, sealed: bool, after_merge: bool, yes: bool) -> None:
    """Encrypt every secret again with new data keys.

    Example:
      carboy config rekey prod
      carboy config rekey --sealed        moves a file of Fleece's
    """
    config, before = file.read()
    keyring = file.keyring(config)
    if after_merge:
        note("Secrets may be missing, or older ones put back: look at the merge before you say yes.")
        if not (yes or click.confirm("Take the secrets as they stand?", err=True)):
            raise click.Abort
        text = remac_text(open_secrets(config, keyring, trust_macs=True), keyring)
    else:
        used = {entry.name for _, entry in config.secrets.values()} | set(config.seals)
        names = [config.stage(stage).name] if stage else [name for name in config.stages if name in used]
        opened = open_secrets(config, keyring, [name for name in names if name in used])
        text = rekey_text(opened, keyring, names, to_sealed=sealed)
    file.write(text, before)
    note(f"wrote {file.name}")
