"""Every page in Chromium: languages, themes, widths, with and without script, by the rules of axe-core."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.console.kit import MakeApp, make_key
from tests.console.seeding import make_busy_app

from carboy.web import runtime
from carboy.web.console.sessions import make_login

pytestmark = pytest.mark.server

SHOTS = os.environ.get("CONSOLE_SHOTS")
"""A folder that gets a picture of every page; `docs/images` is made from two of them."""

Serve = Callable[[Flask], str]


def _enter(page: Any, app: Flask, url: str) -> None:
    page.goto(url + make_login(runtime(app), make_key(app)[1]))


def _unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")


def _violations(page: Any, axe: str) -> list[str]:
    """Return what axe-core finds; it is evaluated by the debugger, as the page's policy lets no script in."""
    page.evaluate(axe + ";undefined")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


def _overflow(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_is_readable_by_everybody(
    make_app: MakeApp, serve: Serve, browser: Any, axe: str, width: int, scheme: str
) -> None:
    """No rule of axe-core is broken, nothing is wider than the screen, nothing is blocked by the policy."""
    app, paths = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    _enter(page, app, url)
    for language in ("en", "zh-Hans"):
        for name, path in paths.items():
            answer = page.goto(f"{url}{path}{'&' if '?' in path else '?'}lang={language}")
            assert answer.status == 200, path
            assert page.locator("html").get_attribute("lang") == language
            if SHOTS:
                page.screenshot(path=Path(SHOTS) / f"{name}-{language}-{width}-{scheme}.png", full_page=True)
            assert _overflow(page) <= 0, path
            _unfold(page)
            assert _violations(page, axe) == [], path
            assert _overflow(page) <= 0, path
    assert complaints == []
    context.close()


@pytest.mark.parametrize("has_script", [True, False])
def test_an_operator_can_work(make_app: MakeApp, serve: Serve, browser: Any, has_script: bool) -> None:
    """Log in, make a key, revoke it, log out: with the keyboard's forms alone, and without script."""
    app = make_app()
    url = serve(app)
    context = browser.new_context(java_script_enabled=has_script)
    page = context.new_page()
    page.goto(f"{url}/console/keys")
    page.get_by_label("API key").fill(make_key(app)[1])
    page.get_by_role("button", name="Log in").click()
    assert page.url == f"{url}/console/keys"

    page.get_by_text("Create a key").click()
    page.get_by_label("Name").fill("from the browser")
    page.get_by_label("jobs:admin").check()
    page.get_by_role("button", name="Create").click()
    key = runtime(app).keys.find(page.locator(".secret").inner_text())
    assert key is not None
    assert key.scopes == ("jobs:admin",)

    row = page.locator("tr", has_text="from the browser")
    row.get_by_text("Revoke").first.click()
    row.get_by_role("button", name="Revoke").click()
    assert "from the browser" in page.locator(".notice").inner_text()
    assert "revoked" in page.locator("tr", has_text="from the browser").inner_text()

    page.get_by_role("button", name="Log out").click()
    assert page.url == f"{url}/login"
    page.goto(f"{url}/console/keys")
    assert "/login?next=" in page.url
    context.close()


def test_times_are_in_the_reader_s_zone(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    """With the exact UTC time at hand."""
    app = make_app()
    url = serve(app)
    context = browser.new_context(timezone_id="Asia/Shanghai", locale="zh-CN")
    page = context.new_page()
    _enter(page, app, url)
    page.goto(f"{url}/console/audit")

    time = page.locator("time").first
    assert time.get_attribute("title") == time.get_attribute("datetime")
    assert "UTC" not in time.inner_text()
    context.close()


def test_the_first_load_is_small(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    """All that the overview loads is at most 60 kB."""
    app, _ = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context()
    page = context.new_page()
    _enter(page, app, url)
    context.clear_cookies(name="nothing")
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())))
    page.goto(f"{url}/")
    page.wait_for_load_state("networkidle")

    assert 0 < sum(sizes) <= 60_000
    context.close()
