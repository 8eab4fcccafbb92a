"""`carboy archive`: the archive from a terminal."""

import getpass
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import orjson

from carboy.cli.destinations import command as destinations
from carboy.cli.output import json_option, print_json, print_table
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_archive, range_options, read_range
from carboy.cli.sources import refused, senders, source_group
from carboy.errors import CarboyError, Fault, InvalidInput, Missing, UsageError

_DAY_MS = 86_400_000


@click.group()
def command() -> None:
    """List, replay, verify and erase archived webhooks.

    Example:
      carboy archive list --start 2026-01-01T00:00:00Z
      carboy archive get 587c0159a907346eccb84004
    """


@command.command("list")
@click.option("--start", metavar="TIME", help="From then on; ISO 8601 with an offset.  [default: 1970]")
@click.option("--end", metavar="TIME", help="Before then.  [default: tomorrow]")
@click.option("--source", default="threatstack", show_default=True, help="Whose webhooks.")
@click.option("--severity", help="Only of this severity.")
@click.option("--organization-id", help="Only of this organization.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@json_option
@pass_project
def list_(project: Project, /, limit: int | None, as_json: bool, **asked: Any) -> None:
    """List archived objects of a time range as JSON lines, oldest first.

    Example:
      carboy archive list --start 2026-01-01T00:00:00Z --end 2026-02-01T00:00:00Z
    """
    from itertools import islice

    from carboy.services.archive.items import TimeRange
    from carboy.services.archive.queries import read_all
    from carboy.services.archive.sources import THREATSTACK

    with open_archive(project) as (runtime, archive):
        start_ms = _read_time(asked["start"], "--start") if asked["start"] else 0
        end_ms = _read_time(asked["end"], "--end") if asked["end"] else runtime.clock.now_ms() + _DAY_MS
        if start_ms > end_ms:
            raise UsageError("nothing can be listed", "--end is before --start", "exchange them")
        known = {THREATSTACK, *archive.settings.archive_sources}
        if asked["source"] not in known:  # which may have been one once
            note = f"note: `{asked['source']}` is no source of the settings, which have {', '.join(sorted(known))}"
            click.echo(note, err=True)
        span = TimeRange(asked["source"], start_ms, end_ms, asked["severity"], asked["organization_id"])
        found = islice(read_all(archive.reader.page, span), limit)
        if as_json:
            print_json([orjson.loads(one.line) for one in found])
            return
        for one in found:
            click.echo(one.line)
            if one.body is None:
                click.echo(f"note: `{one.item.item_id}` cannot be read: {one.reason}", err=True)


@command.command()
@click.argument("item_id", metavar="ID")
@click.option("--source", default="threatstack", show_default=True, help="Whose webhook.")
@pass_project
def get(project: Project, item_id: str, source: str) -> None:
    """Print the archived object of an id.

    Example:
      carboy archive get 587c0159a907346eccb84004 | jq .title
    """
    from carboy.services.archive.object_keys import stored_id

    with open_archive(project) as (_, archive):
        item, body = archive.reader.one(source, item_id if source == "threatstack" else stored_id(item_id))
        sys.stdout.buffer.write(body)
        if sys.stdout.isatty() and not body.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        if item.detail in {"pending", "missing"}:
            click.echo(f"the full alert is {item.detail}: this is the webhook's copy", err=True)


@command.command()
@click.argument("alert_ids", metavar="[ID...]", nargs=-1)
@click.option("--from", "start", metavar="TIME", help="Instead of ids: events from then on; ISO 8601 with an offset.")
@click.option("--until", "end", metavar="TIME", help="The end, excluded.")
@click.option("--source", help="Only of this source.")
@click.option("--filter", "filter_", metavar="JMESPATH", default="", help="Only events that match.")
@click.option("--dry-run", is_flag=True, help="Only print how many.")
@pass_project
def replay(project: Project, /, alert_ids: tuple[str, ...], dry_run: bool, **asked: Any) -> None:
    """Fetch and archive alerts again, or the events of a range; what has changed is kept as a new version.

    Example:
      carboy archive replay 587c0159a907346eccb84004
      carboy archive replay --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z --source github --dry-run
    """
    if bool(alert_ids) == bool(asked["start"] or asked["end"]) or bool(asked["start"]) != bool(asked["end"]):
        raise UsageError("nothing can be replayed", "give ids, or both --from and --until", "see --help")
    if not alert_ids:
        with open_archive(project) as (_, archive):
            chosen = read_range(archive, asked["start"], asked["end"], asked["source"], asked["filter_"])
            count = archive.destinations.replayer.count(chosen, None)
            if count and not dry_run:
                archive.destinations.replayer.start(chosen, None)
        click.echo(f"{count} events would be archived again" if dry_run else f"{count} events are archived again")
        return
    with open_archive(project) as (runtime, archive):
        for alert_id in alert_ids:
            item = archive.index.newest("threatstack", alert_id)
            if item is None:
                raise Missing(f"`{alert_id}`", "nothing of that id was ever accepted", "check the id")
            result = archive.keeper.replay(item.id)
            if result is not None:
                runtime.writer.run(result.apply, result.item)
            click.echo(alert_id)


@command.command()
@json_option
@pass_project
def verify(project: Project, as_json: bool) -> None:
    """Read every archived object again and compare it with the index; exit 1 when one is missing or changed.

    Example:
      carboy archive verify
    """
    from carboy.services.archive.maintenance import verify as look

    with open_archive(project) as (_, archive):
        faults, count = [], 0
        for finding in _progress(look(archive.index, archive.store), "objects verified"):
            count += 1
            if finding.fault:
                faults.append({"key": finding.key, "fault": finding.fault})
        if as_json:
            print_json({"verified": count, "faults": faults})
        elif faults:
            print_table(("KEY", "FAULT"), [(one["key"], one["fault"]) for one in faults])
        click.echo(f"{count} verified, {len(faults)} wrong", err=True)
    if faults:
        raise click.exceptions.Exit(1)


@command.command("import")
@click.argument("url", metavar="URL")
@json_option
@pass_project
def import_(project: Project, url: str, as_json: bool) -> None:
    """Import an existing archive from a folder or bucket.

    The objects are copied under their keys here and put into the index; running it again takes nothing twice.

    Example:
      carboy archive import s3://old-bucket/threatstack
      carboy archive import file:///mnt/old-archive
    """
    from carboy.services.archive.maintenance import import_archive
    from carboy.services.archive.service import open_settings_store

    with open_archive(project) as (runtime, archive):
        source = open_settings_store(archive.settings, url)
        counts: Counter[str] = Counter()
        skipped = []
        for one in _progress(import_archive(source, archive.store, runtime.writer, runtime.clock), "alerts looked at"):
            counts[one.outcome] += 1
            if one.outcome == "skipped":
                skipped.append({"key": one.key, "reason": one.reason})
        summary = {name: counts[name] for name in ("taken", "known", "skipped")}
        if as_json:
            print_json({**summary, "reasons": skipped})
        else:
            for entry in skipped:
                click.echo(f"skipped {entry['key']}: {entry['reason']}", err=True)
            click.echo(", ".join(f"{count} {name}" for name, count in summary.items()))
        if not counts:
            why = "it has neither `webhooks/` nor `alerts/`"
            raise CarboyError("nothing was taken over", why, "name the folder or prefix that holds them")


@command.command()
@click.option("--from", "start", metavar="TIME", required=True, help="The start, included; ISO 8601 with an offset.")
@click.option("--until", "end", metavar="TIME", required=True, help="The end, excluded.")
@click.option("--dry-run", is_flag=True, help="Say what is missing and accept nothing.")
@pass_project
def backfill(project: Project, start: str, end: str, dry_run: bool) -> None:
    """Archive alerts of a time range that were never received.

    The alerts are accepted here and archived by the jobs of `carboy serve` or `carboy worker`.

    Example:
      carboy archive backfill --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z
    """
    from carboy.services.archive.maintenance import backfill as fill

    start_ms, end_ms = _read_time(start, "--from"), _read_time(end, "--until")
    with open_archive(project) as (_, archive):
        if archive.api is None:
            raise UsageError("there is nothing to ask", "THREATSTACK_API_KEY is not set", "set it, or name a profile")
        if dry_run:
            missing = [
                one.id
                for one in archive.api.list(start_ms, end_ms)
                if archive.index.newest("threatstack", one.id) is None
            ]
            for alert_id in missing:
                click.echo(alert_id)
            click.echo(f"{len(missing)} would be accepted", err=True)
            return
        new = 0
        for alert_id, is_new in _progress(fill(archive.api, archive.acceptor, start_ms, end_ms), "alerts listed"):
            new += is_new
            if is_new:
                click.echo(alert_id)
        click.echo(f"{new} accepted", err=True)


@command.command()
@click.option(
    "--match", required=True, metavar="JMESPATH", help="Which events, such as \"user.email == 'a@b.example'\"."
)
@range_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased and do nothing.")
@json_option
@pass_project
def erase(project: Project, /, match: str, yes: bool, dry_run: bool, as_json: bool, **asked: Any) -> None:
    """Erase a person's events, with their objects and deliveries.

    Refused requests whose body was kept (`keep_refused`) are erased too. Events of a source with `hold = true` stay;
    exit 1 when there are such. Where the command is killed, jobs erase the rest; after Ctrl-C it stays.

    Example:
      carboy archive erase --match "user.email == 'a@b.example'" --from 2026-01-01T00:00Z --until 2027-01-01T00:00Z
    """
    from carboy.services.archive.erasure import erase as erase_items
    from carboy.services.archive.erasure import erase_refused, find, find_refused
    from carboy.services.archive.refusals import RefusedRequests

    with open_archive(project) as (runtime, archive):
        chosen = read_range(archive, asked["start"], asked["end"], asked["source"], match)
        sources, refusals = archive.settings.archive_sources, RefusedRequests(runtime)

        def is_held(source: str) -> bool:
            return source in sources and sources[source].hold

        found = find(archive.index, archive.store, chosen, is_held)
        refused_too = find_refused(refusals, chosen, is_held)
        count = len(found.items)
        for name, kept in found.held.items():
            click.echo(f"{kept} events of `{name}` are held (hold = true) and stay", err=True)
        if refused_too:
            click.echo(f"{len(refused_too)} refused requests match as well and go too", err=True)
        if not dry_run and (count or refused_too) and not yes:
            click.confirm(f"erase {count} events for good?", abort=True, err=True)
        if not dry_run:
            erase_refused(refusals, refused_too, getpass.getuser(), runtime.clock)  # first: jobs do only the events
            count = sum(erase_items(archive.upkeep, found.items, getpass.getuser()))
    if as_json:
        print_json({"erased": 0 if dry_run else count, "found": len(found.items), "held": found.held})
    else:
        click.echo(f"{count} events would be erased" if dry_run else f"{count} events were erased")
    if found.held:
        raise click.exceptions.Exit(1)


command.add_command(destinations)
command.add_command(senders)
command.add_command(refused)
command.add_command(source_group)


def _progress(items: Iterator[Any], what: str) -> Iterator[Any]:
    """Yield the items, and on a terminal show how many there were."""
    stream = sys.stderr
    shows = stream.isatty()
    for count, item in enumerate(items, 1):
        if shows and count % 20 == 0:
            stream.write(f"\r{count} {what}")
            stream.flush()
        yield item
    if shows:
        stream.write("\r\x1b[K")


def _read_time(text: str, option: str) -> int:
    """Return the milliseconds since the epoch of a time that an option names."""
    from carboy.http_values import parse_query_time

    try:
        return parse_query_time(text)
    except ValueError as error:
        raise InvalidInput(f"`{option}` cannot be used", str(error), "", [Fault(option, str(error))]) from error
