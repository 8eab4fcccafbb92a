"""What `carboy config` does with Parameter Store: upload, history, rollback."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from carboy.aws.upload import Plan, Store, check_prefix, find_release, parameters_of, plan_upload
from carboy.cli.encrypted_file import ClosedFile, pass_file
from carboy.cli.output import note, options


def upload(
    file: ClosedFile, environment: str, stage: str, values: Mapping[Any, object], options: Mapping[str, Any]
) -> None:
    """Write a stage's values to Parameter Store, after checking them all."""
    prefix = check_prefix(options["parameter_store"])
    tier = options["tier"] or "Standard"
    wanted = parameters_of(prefix, values, tier)
    store = Store(file.credentials_of.session(environment), prefix, options["ssm_kms_key"], tier)
    note(f"AWS account {store.account()}, below {prefix or '/'}")
    store.look_up_key()
    there = store.read()
    plan = plan_upload(wanted, there, prune=options["prune"], again=store.settings_changed(there))
    if options["dry_run"]:
        _print_plan(plan)
        return
    _carry_out(store, plan, there, stage, asks=not options["yes"])


def _print_plan(plan: Plan) -> None:
    for verb, names in (("create", plan.create), ("change", plan.change), ("same", plan.same), ("delete", plan.delete)):
        for name in names:
            click.echo(f"{verb} {name}")


def _carry_out(store: Store, plan: Plan, there: Mapping[str, str], stage: str, *, asks: bool) -> None:
    if plan.delete and asks:
        for name in plan.delete:
            note(f"delete {name}")
        if not click.confirm(f"Delete {len(plan.delete)} parameters?", err=True):
            raise click.Abort
    count = len(plan.writes) + len(plan.delete)
    with click.progressbar(length=count, label="Writing", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        number = store.apply(plan, there, stage, lambda _: bar.update(1))
    note(
        f"release {number}: {len(plan.create)} created, {len(plan.change)} changed, "
        f"{len(plan.delete)} deleted, {len(plan.same)} left as they were"
    )


_store_options = options(
    click.argument("stage"),
    click.option("--parameter-store", metavar="PREFIX", required=True, help="Where it was uploaded to."),
    click.option("--environment", help="Whose credentials are used.  [default: the stage's]"),
)


@click.command()
@_store_options
@pass_file()
def history(file: ClosedFile, stage: str, parameter_store: str, environment: str | None) -> None:
    """List a stage's uploads in Parameter Store, newest first.

    Example:
      carboy config history prod --parameter-store /prod_orders
    """
    store = _find_store(file, stage, parameter_store, environment)
    for release in store.history():
        at = release.at.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        click.echo(f"{release.number}\t{at}\t{release.stage}\t{release.count} parameters\t{release.by}")


@click.command()
@_store_options
@click.argument("release", type=click.IntRange(1))
@click.option("--dry-run", is_flag=True, help="Print what would be written, without values.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_file()
def rollback(
    file: ClosedFile, stage: str, release: int, parameter_store: str, environment: str | None, dry_run: bool, yes: bool
) -> None:
    """Restore the parameters of an earlier upload.

    Example:
      carboy config rollback prod 7 --parameter-store /prod_orders
    """
    store = _find_store(file, stage, parameter_store, environment)
    wanted = store.values_at(find_release(store.history(), release))
    there = store.read()
    plan = plan_upload(wanted, there, prune=True)
    if dry_run:
        _print_plan(plan)
        return
    _carry_out(store, plan, there, stage, asks=not yes)


def _find_store(file: ClosedFile, stage: str, prefix: str, environment: str | None) -> Store:
    config, _ = file.read()
    prefix = check_prefix(prefix)
    store = Store(file.credentials_of.session(environment or config.stage(stage).environment), prefix)
    note(f"AWS account {store.account()}, below {prefix or '/'}")
    return store
