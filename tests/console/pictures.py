"""Take a picture of every page in Chromium."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select
from tests.console.kit import make_key
from werkzeug.serving import make_server

from carboy.services.archive.destinations.tables import DELIVERIES
from carboy.services.archive.tables import ITEMS
from carboy.services.sms.tables import MESSAGES
from carboy.web import runtime
from carboy.web.console.sessions import make_login

__all__ = ["find_pages", "take_overview", "take_pictures"]

_ARGS = ["--no-sandbox", "--disable-gpu"]


def find_pages(app: Flask) -> dict[str, str]:
    """Return the address of every page of a demonstration, by a name for its picture."""
    held = runtime(app)
    with held.engine.connect() as connection:
        event = connection.execute(select(DELIVERIES.c.item).where(DELIVERIES.c.state == "failed")).scalars().first()
        delivery = connection.execute(select(DELIVERIES.c.id).where(DELIVERIES.c.state == "failed")).scalars().first()
        message = connection.execute(select(MESSAGES.c.id).where(MESSAGES.c.state == "failed")).scalars().first()
        assert connection.execute(select(ITEMS.c.id)).first() is not None
    job = held.jobs.store.list(state="dead", limit=1)[0].id
    pages = ("events", "refused", "sources", "destinations", "messages", "statistics", "templates", "providers", "jobs",
             "keys", "settings", "health", "audit")  # fmt: skip
    return {
        "overview": "/", **{page: f"/console/{page}" for page in pages}, "event": f"/console/events/{event}",
        "source": "/console/sources/github", "destination": "/console/destinations/warehouse",
        "delivery": f"/console/destinations/deliveries/{delivery}", "message": f"/console/messages/{message}",
        "template": "/console/templates/order-shipped", "job": f"/console/jobs/{job}", "missing": "/console/nothing",
    }  # fmt: skip


def take_pictures(
    app: Flask, folder: Path, *, widths: tuple[int, ...] = (1280, 360), languages: tuple[str, ...] = ("en", "zh-Hans")
) -> None:
    """Write `NAME-LANGUAGE-WIDTH-SCHEME.png` into a folder, for every page."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, pages = f"http://127.0.0.1:{server.server_port}", find_pages(app)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGS)
        for width in widths:
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
                page: Any = context.new_page()
                page.goto(url + "/login")
                page.screenshot(path=folder / f"login-en-{width}-{scheme}.png")
                page.goto(url + make_login(runtime(app), make_key(app)[1]))
                for language in languages:
                    for name, path in pages.items():
                        page.goto(f"{url}{path}?lang={language}")
                        page.screenshot(path=folder / f"{name}-{language}-{width}-{scheme}.png", full_page=True)
                context.close()
        browser.close()
    server.shutdown()


def take_overview(browser: Any, url: str, log_in: Callable[[], str], folder: Path) -> list[Path]:
    """Write the overview in both themes, as README and the documentation show it; return the files."""
    made = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1280, "height": 860}, color_scheme=scheme, locale="en-GB")
        page = context.new_page()
        page.goto(url + log_in())
        while "…" in page.locator(".cards").first.inner_text():  # a thread counts what the first view had no time for
            page.reload()
        made.append(folder / f"console-{scheme}.png")
        page.screenshot(path=made[-1])
        context.close()
    return made
