"""Sources: who may send, how that is checked, the address to enter at the sender, what came, and a test event."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import orjson
from flask import Blueprint, Response
from sqlalchemy import func, select

from carboy.errors import UsageError
from carboy.problems import Problem
from carboy.services.archive.pages.reaching import Reach, reach
from carboy.services.archive.pages.summaries import event_tally
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.source_tables import sample_request
from carboy.services.archive.sources import THREATSTACK, WebhookSource, make_sources
from carboy.services.archive.tables import EXCHANGED, REFUSED
from carboy.web import (
    call_service,
    go_to_page,
    host_url,
    mark,
    record_action,
    render_page,
    require_scope,
    show_notice,
    visitor_address,
)


def make_blueprint() -> Blueprint:
    """Return the blueprint of the page."""
    made = Blueprint("sources", __name__, template_folder="templates")
    made.add_url_rule("/", "index", _index, strict_slashes=False)
    made.add_url_rule("/<name>", "show", _show)
    made.add_url_rule("/<name>/test", "test", _test, methods=["POST"])
    return made


def _index() -> Response:
    at = reach()
    tally, sources = event_tally(at), _sources(at)
    rows = [
        {
            "name": name,
            "config": sources[name].config if name in sources else None,
            "last_ms": at.archive.index.last_received_ms(name),
            "figure": tally.figure(f"source:{name}", name),
        }
        for name in at.sources()
    ]
    return render_page("archive/sources.html", rows=rows)


def _show(name: str) -> Response:
    at = reach()
    is_inner = name in at.sources() and name not in _sources(at)  # messages that people send to the gateway
    config = SourceConfig() if is_inner else _get(at, name).config
    figure = event_tally(at).figure(f"source:{name}", mark("Received"))
    return render_page(
        "archive/source.html", name=name, config=config, figure=figure, is_inner=is_inner,
        address=None if is_inner else _address(name, config),
        last_ms=at.archive.index.last_received_ms(name), refusals=_refusals(at, name), versions=_versions(at, config),
        exchanged_at=_exchanged_at(at, name),
    )  # fmt: skip


def _test(name: str) -> Response:
    """Send a sample event through the service itself, signed with the source's own secret."""
    require_scope("archive:write")
    at = reach()
    source = _get(at, name)
    client = str(source.networks[0][0]) if source.networks else visitor_address()
    try:
        sample = sample_request(source, source.config.public_url or host_url(), at.runtime.clock.now_ms())
    except UsageError as error:
        show_notice(mark("No sample was sent: %(why)s. %(hint)s."), why=error.why, hint=error.hint.capitalize())
        return go_to_page("sources.show", name=name)
    status, text = call_service(replace(sample, client=client))
    record_action("source.test", name, f"status {status}")
    if status < 300:
        show_notice(mark("The sample event was accepted (%(status)s)."), status=status)
    else:
        show_notice(mark("The sample event was refused (%(status)s): %(why)s"), status=status, why=_detail(text))
    return go_to_page("sources.show", name=name)


def _detail(text: str) -> str:
    try:
        return str(orjson.loads(text)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return text


def _sources(at: Reach) -> dict[str, WebhookSource]:
    return make_sources(at.runtime.newest(ArchiveSettings).archive_sources)


def _get(at: Reach, name: str) -> WebhookSource:
    found = _sources(at).get(name)
    if found is None:
        raise Problem(404, "there is no such source")
    return found


def _refusals(at: Reach, name: str) -> list[Any]:
    """Return how many of the refused requests that are kept were refused for which reason, the most frequent first."""
    query = select(REFUSED.c.reason, func.count().label("number"), func.max(REFUSED.c.at).label("newest"))
    query = query.where(REFUSED.c.source == name).group_by(REFUSED.c.reason).order_by(func.count().desc())
    with at.engine.connect() as connection:
        return list(connection.execute(query).all())


def _versions(at: Reach, config: SourceConfig) -> list[str]:
    """Return a version of each secret: a keyed hash, which changes with it and reveals nothing."""
    key = str(at.runtime.app.config["SECRET_KEY"]).encode()
    found = (hmac.new(key, secret.reveal().encode(), hashlib.sha256) for secret in config.secrets)
    return [one.hexdigest()[:8] for one in found]


def _exchanged_at(at: Reach, name: str) -> int | None:
    """Return when the sender brought its secret; None where it brought none."""
    with at.engine.connect() as connection:
        found: int | None = connection.execute(select(EXCHANGED.c.at).where(EXCHANGED.c.source == name)).scalar()
    return found


def _address(name: str, config: SourceConfig) -> str:
    """Return what is entered at the sender; a path token is not shown."""
    base = config.public_url.rstrip("/") or host_url()
    if name == THREATSTACK and not config.tokens:
        return f"{base}/api/v1/s3/alert"
    return f"{base}/api/v1/webhooks/{name}" + ("/<token>" if config.tokens else "")
