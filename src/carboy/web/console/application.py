"""The console's Flask application: its pages, who may see them, and what every response carries."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, request

from carboy.problems import Problem
from carboy.web.console import login, oidc
from carboy.web.console.access import ANCHOR, check_csrf, find_visitor, is_html, require_scope
from carboy.web.console.assets import find_asset
from carboy.web.console.languages import COOKIE as LANGUAGE_COOKIE
from carboy.web.console.languages import LANGUAGES
from carboy.web.console.overview import show_overview
from carboy.web.console.pages import OWN_PAGES
from carboy.web.console.rendering import HEADERS, set_up
from carboy.web.http.problem_responses import handle_problems
from carboy.web.pages import Page, mark

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

_YEAR_S = 31_536_000
_NOTICE = "carboy_notice"
_OPEN = {"console.asset", "console.enter", "console.enter_once", "console.leave", "console.go_to_oidc",
         "console.return_from_oidc"}  # fmt: skip


def make_application(runtime: "Runtime") -> Flask:
    """Return the application that answers all addresses of the console."""
    app = Flask("carboy.web.console", static_folder=None, template_folder="templates")
    app.extensions = runtime.app.extensions  # a module's pages find there what its other views do
    app.config.from_mapping(runtime.app.config)
    app.secret_key = None  # sessions are rows
    app.config.update(PROPAGATE_EXCEPTIONS=False, MAX_CONTENT_LENGTH=runtime.web.max_body_bytes)
    if (models := app.extensions.get("sqlalchemy")) is not None:
        app.teardown_appcontext(lambda _: models.session.remove())
    pages = [*runtime.pages, *OWN_PAGES]
    scopes: dict[str, str] = {}
    shown: list[tuple[str, Page]] = [
        ("overview", Page(mark("Overview"), mark("Overview"), "", lambda: Blueprint("overview", __name__)))
    ]
    folders: dict[Path, None] = {}
    for page in pages:
        blueprint = page.blueprint()
        app.register_blueprint(blueprint, url_prefix=f"/console/{blueprint.name}")
        scopes[blueprint.name] = page.scope
        shown.append((blueprint.name, page))
        folder = Path(blueprint.root_path) / "translations"
        if folder.is_dir():
            folders[folder] = None
    is_root_taken = any(
        rule.rule == "/" and not rule.endpoint.startswith("carboy_console") for rule in runtime.app.url_map.iter_rules()
    )
    home = "/console/" if is_root_taken and runtime.web.console_bind is None else "/"
    app.config["HOME"] = home
    app.register_blueprint(_console_blueprint(home))
    app.config["TRANSLATIONS"] = tuple(folders)
    app.config["PAGES"] = pages
    handle_problems(app, runtime.web.retry_after_s, runtime.show_path)
    set_up(app, shown)
    app.before_request(lambda: _let_in(scopes))
    app.after_request(_finish)
    return app


def _console_blueprint(home: str) -> Blueprint:
    """Return the console's own addresses; where the service answers `/` itself, the overview is at `/console/`."""
    made = Blueprint("console", __name__)
    made.add_url_rule(home, "overview", show_overview)
    if home == "/":
        made.add_url_rule("/console/", "home", lambda: redirect(f"{request.script_root}/"))
    made.add_url_rule("/console/static/<name>", "asset", _send_asset)
    login.add_routes(made)
    oidc.add_routes(made)
    return made


def _send_asset(name: str) -> Response:
    found = find_asset(name)
    if found is None:
        raise Problem(404, "there is nothing at this address")
    response = Response(found.body, content_type=found.content_type)
    response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable"
    return response


def _let_in(scopes: dict[str, str]) -> "ResponseReturnValue | None":
    """Let a visitor in, send a stranger to the login, and refuse forms that were not made here."""
    if _NOTICE in request.cookies:
        g.notice_shown = unquote(request.cookies[_NOTICE])[:500]
    if request.endpoint is None or request.endpoint == "console.asset":
        return None  # 404 and 405 are not secret
    if request.endpoint == "console.overview" and not is_html(request):
        raise Problem(404, "there is nothing at this address")
    g.visitor = find_visitor(request)
    if request.endpoint in _OPEN:
        if request.method == "POST":
            check_csrf()
        return None
    if g.visitor is None:
        if is_html(request) and not (_is_form() and "Authorization" in request.headers):
            return redirect(f"{request.script_root}/login?next={quote(_page(), safe='/')}", 303 if _is_form() else 302)
        raise Problem(401, "a session or a key is needed", headers={"WWW-Authenticate": "Bearer"})
    if request.method == "POST":
        check_csrf()
    require_scope(scopes.get(request.blueprint or "", ""))
    return None


def _is_form() -> bool:
    return request.method == "POST"


def _page() -> str:
    """Return the page that was asked for, or from which a form was sent; the overview where that is unknown."""
    if not _is_form():
        return request.full_path if request.query_string else request.path
    try:
        came_from = urlsplit(request.referrer or "")
    except ValueError:
        return "/"
    if came_from.netloc != request.host:
        return "/"
    path = came_from.path.removeprefix(request.script_root)
    return f"{path}?{came_from.query}" if came_from.query else path


def _finish(response: Response) -> Response:
    """Give a response what all of the console carry, and the cookies of the visitor's choices."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "console.asset":
        return response
    is_secure = login.is_secure()
    root = request.script_root or "/"
    if request.method == "POST" and response.status_code < 400 and not g.get("is_audited"):
        _record_unnamed()
    if g.get("new_anchor"):
        response.set_cookie(ANCHOR, g.new_anchor, httponly=True, samesite="Lax", secure=is_secure, path=root)
    if (wanted := request.args.get("lang")) in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, str(wanted), _YEAR_S, samesite="Lax", secure=is_secure, path=root)
    if g.get("notice"):
        text = quote(g.notice)
        response.set_cookie(_NOTICE, text, 60, httponly=True, samesite="Lax", secure=is_secure, path=root)
    elif _NOTICE in request.cookies and not g.get("notice_shown"):
        response.delete_cookie(_NOTICE, path=root)
    return response


def _record_unnamed() -> None:
    """Add an action that its view did not record."""
    if g.get("visitor") is not None:
        from carboy.web.console.audit import record_action

        record_action(request.endpoint or "", request.path)
