"""Every page in Chromium: languages, themes, widths, with and without script, by the rules of axe-core."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.console.demo import make_demo
from tests.console.kit import MakeApp, make_key
from tests.console.pictures import take_overview
from tests.console.seeding import make_busy_app

from carboy.web import runtime
from carboy.web.console.sessions import make_login

pytestmark = pytest.mark.server

SHOTS = os.environ.get("CONSOLE_SHOTS")
"""A folder that gets a picture of every page."""
IMAGES = os.environ.get("CONSOLE_IMAGES")
"""The folder that gets the pictures of README: `docs/images`."""
ROOT = Path(__file__).parents[2]

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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["en", "zh-Hans"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_is_readable_by_everybody(
    make_app: MakeApp, serve: Serve, browser: Any, axe: str, width: int, scheme: str, language: str
) -> None:
    """No rule of axe-core is broken, nothing is wider than the screen, nothing is blocked by the policy."""
    app, paths = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    _enter(page, app, url)
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


_NAME = "(document.activeElement.textContent || document.activeElement.name || '').replace(/\\s+/g, ' ').trim()"


def _press_until(page: Any, key: str, name: str) -> None:
    """Press a key until the element in focus has a text."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate(_NAME) == name:
            return
    pytest.fail(f"the keyboard does not reach {name}")


def test_the_keyboard_alone_is_enough(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    """Log in, skip the navigation, follow it, unfold a second look, and act; what has the focus is seen."""
    app, _ = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{url}/console/providers")
    _press_until(page, "Tab", "key")
    page.keyboard.type(make_key(app)[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/console/providers")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    _press_until(page, "Tab", "Take out of turn outbox")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    _press_until(page, "Tab", "Take out of turn")
    page.keyboard.press("Enter")
    page.wait_for_selector(".notice")
    assert "outbox gets no messages" in page.locator(".notice").inner_text()

    _press_until(page, "Shift+Tab", "Jobs")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/console/jobs")
    context.close()


def test_a_filter_is_set_by_the_keyboard(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    """The list is not renewed while the reader is in it."""
    app, _ = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context()
    page = context.new_page()
    _enter(page, app, url)
    page.goto(f"{url}/console/events")
    _press_until(page, "Tab", "id")
    page.keyboard.type("order-1")
    page.keyboard.press("Enter")
    page.wait_for_url("**id=order-1**")

    assert page.locator("tbody tr").count() == 1
    _press_until(page, "Tab", "order-1")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/console/events/*")
    context.close()


def test_going_back_after_the_logout_shows_nothing(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    app, _ = make_busy_app(make_app)
    url = serve(app)
    context = browser.new_context()
    page = context.new_page()
    _enter(page, app, url)
    page.goto(f"{url}/console/events")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{url}/login")

    page.go_back()

    assert "/login" in page.url
    assert page.locator("tbody tr").count() == 0
    context.close()


def test_a_revoked_key_ends_what_the_browser_shows(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    """The next click leads to the login, and from there back."""
    app = make_app()
    url = serve(app)
    key_id, text = make_key(app)
    context = browser.new_context()
    page = context.new_page()
    page.goto(url + make_login(runtime(app), text))
    runtime(app).keys.store.revoke(key_id)
    runtime(app).keys.forget(key_id)

    page.get_by_role("link", name="Jobs").first.click()

    assert page.url == f"{url}/login?next=/console/jobs"
    context.close()


def test_no_other_site_can_show_the_console_in_a_frame(make_app: MakeApp, serve: Serve, browser: Any) -> None:
    app = make_app()
    url = serve(app)
    other = Flask("other")
    other.add_url_rule("/", "index", lambda: f'<iframe src="{url}/login" title="console"></iframe>')
    context = browser.new_context()
    page = context.new_page()
    page.goto(serve(other))
    page.wait_for_load_state("networkidle")

    assert page.frames[-1].locator("form").count() == 0
    context.close()


def test_the_pictures_of_the_readme_are_small(serve: Serve, browser: Any, tmp_path: Path) -> None:
    """Both READMEs and the start page show them; with `CONSOLE_IMAGES` they are written there."""
    app = make_demo(tmp_path)
    url = serve(app)

    made = take_overview(
        browser, url, lambda: make_login(runtime(app), make_key(app)[1]), Path(IMAGES) if IMAGES else tmp_path
    )

    runtime(app).close()
    for path in (*made, *(ROOT / "docs" / "images" / one.name for one in made)):
        assert 10_000 < path.stat().st_size < 150_000, path
        for page in ("README.md", "README.zh-CN.md", "docs/index.md"):
            assert f"images/{path.name}" in (ROOT / page).read_text()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_reading_page_of_the_api_is_readable_too(
    make_app: MakeApp, serve: Serve, browser: Any, axe: str, width: int, scheme: str
) -> None:
    """With everything unfolded."""
    url = serve(make_app(modules=("carboy.services.sms",), sms_provider=("outbox",)))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{url}/docs")
    _unfold(page)

    assert _violations(page, axe) == []
    assert _overflow(page) <= 0
    context.close()
