"""A database password rotates under load without an error: MariaDB and PostgreSQL over TLS, real boto3.

Time runs faster here: a vault that is asked every second at most stands for one of five. `ROTATIONS=20` and
`ROTATION_WINDOWS=0,2,5` run it in full, with the true intervals.
"""

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic
from typing import Any, Literal

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, ProgrammingError
from tests.forks import exit_code, start_child
from tests.lab.rotation import RotatingSecret, ask, load

from carboy import logs
from carboy.aws import IamLogins, SecretCache, SecretLogins
from carboy.db import Address, Connector, DbSettings, engine
from carboy.errors import Refused, Unreachable
from carboy.testing import Answer, LoopbackServer, ManualClock, Stall, closed_port
from carboy.testing.processes import AwsServer, DatabaseServer

_FULL = "ROTATIONS" in os.environ
_ROTATIONS = int(os.environ.get("ROTATIONS", "2"))
_WINDOWS = [float(one) for one in os.environ.get("ROTATION_WINDOWS", "0,0.3").split(",")]
_EVERY_S = 5.0 if _FULL else 0.8
_RECYCLE_S = 2.0 if _FULL else 0.5


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A real database, each in turn."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def secret(server: DatabaseServer, moto: AwsServer) -> RotatingSecret:
    """A user of this test's own, and the secret of it."""
    return RotatingSecret(server, moto)


class Databases:
    """Makes engines, and closes them."""

    def __init__(self) -> None:
        self.made: list[Engine] = []

    def __call__(self, secret: RotatingSecret, client: Any = None, **changes: Any) -> Engine:
        """Return an engine on a rotating secret; `changes` are settings, `where` and `probe_s`."""
        where, probe_s = changes.pop("where", None), changes.pop("probe_s", _EVERY_S)
        settings = DbSettings(
            **{
                "database_url": "sqlite://",
                "db_secret_name": secret.name,
                "db_tls_ca": secret.server.ca_path,
                "db_pool_size": 20,
                "sqlalchemy_engine_options": {"pool_recycle": _RECYCLE_S},
                **changes,
            }
        )
        secrets = SecretCache(client or secret.client, min_interval_s=probe_s)
        logins = SecretLogins(secrets, secret.name)
        self.made.append(engine(settings, logins, Connector(settings, logins, where=where, probe_s=probe_s)))
        return self.made[-1]


@pytest.fixture
def databases() -> Iterator[Databases]:
    """Engines that are closed at the end."""
    made = Databases()
    yield made
    for one in made.made:
        one.dispose()


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize("window_s", _WINDOWS)
def test_a_rotation_fails_no_request(secret: RotatingSecret, databases: Databases, window_s: float) -> None:
    """Twenty threads, connections recycled often; at most three calls for each rotation."""
    made = databases(secret)
    with load(lambda: ask(made)) as met:
        _pause(_EVERY_S * 1.2)
        secret.calls = 0
        for _ in range(_ROTATIONS):
            secret.rotate(window_s)
            _pause(_EVERY_S * 1.2 + _RECYCLE_S)

    assert met.errors == []
    assert len(met.latencies_s) > 100
    assert secret.calls <= 3 * _ROTATIONS


def test_a_bad_statement_is_not_tried_again(secret: RotatingSecret, databases: Databases) -> None:
    """What is wrong with a statement comes out as it is, and at once: it is no affair of connecting."""
    made = databases(secret)
    ask(made)
    secret.calls = 0
    with pytest.raises(ProgrammingError), made.connect() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    assert secret.calls == 0


def test_alternating_users_fail_no_request(secret: RotatingSecret, databases: Databases) -> None:
    """The other user's password is changed, and the old one goes on working until the next rotation."""
    made = databases(secret)
    with load(lambda: ask(made)) as met:
        _pause(_EVERY_S)
        for _ in range(3):
            secret.rotate(alternate=True)
            _pause(_EVERY_S * 1.2 + _RECYCLE_S)

    assert met.errors == []
    with made.connect() as connection:
        who = str(connection.exec_driver_sql("SELECT current_user").scalar())
    assert who.startswith("app_")


def test_a_rotation_while_every_connection_is_busy_fails_none(secret: RotatingSecret, databases: Databases) -> None:
    """Open connections stay open; those opened afterwards have the new password."""
    made = databases(secret, db_pool_size=3, db_pool_overflow=3)
    held = [made.connect() for _ in range(3)]
    _pause(_EVERY_S)
    secret.rotate()
    for connection in held:
        connection.exec_driver_sql("SELECT 1")

    more = [made.connect() for _ in range(3)]

    for connection in [*held, *more]:
        connection.exec_driver_sql("SELECT 1")
        connection.close()


def test_two_hundred_threads_refused_at_once_make_one_call(secret: RotatingSecret, databases: Databases) -> None:
    """After the pool was emptied and the password changed."""
    pool = {"pool_recycle": _RECYCLE_S, "pool_timeout": 30}  # four take turns on a connection, however slow the machine
    made = databases(secret, db_pool_size=50, db_pool_overflow=0, sqlalchemy_engine_options=pool)
    ask(made)
    made.dispose()
    _pause(_EVERY_S)
    secret.rotate()
    secret.calls = 0
    with ThreadPoolExecutor(200) as threads:
        for one in [threads.submit(ask, made) for _ in range(200)]:
            one.result()

    assert secret.calls == 1


def test_a_password_that_is_wrong_is_reported_clearly_and_recovers_when_it_is_fixed(
    secret: RotatingSecret, databases: Databases
) -> None:
    """Few calls, few logins, no password in the words; nothing has to be restarted."""
    made = databases(secret, db_heal_s=1.0, probe_s=0.5)
    ask(made)
    made.dispose()
    _pause(0.6)
    right = secret.change_password()
    secret.calls = 0

    with ThreadPoolExecutor(10) as pool:
        errors = [one.exception() for one in [pool.submit(ask, made) for _ in range(10)]]

    assert all(isinstance(one, Refused) and isinstance(one, OperationalError) for one in errors)
    assert secret.user in str(errors[0])
    assert secret.name in str(errors[0])
    assert "marked-password" not in f"{errors[0]!r} {errors[0]}"
    assert secret.calls <= 3
    secret.put(secret.user, right)
    end = monotonic() + 20
    while True:
        try:
            ask(made)
            break
        except Refused:
            assert monotonic() < end
            _pause(0.05)


def test_a_server_that_restarts_is_waited_for(secret: RotatingSecret, databases: Databases) -> None:
    """Only work on a connection that the server cut can fail; new connections wait."""
    made = databases(secret)
    with load(lambda: ask(made), threads=10) as met:
        _pause(0.3)
        secret.server.process.restart()
        _pause(0.5)
        before = len(met.errors)
        _pause(1.0)

    assert len(met.errors) == before
    assert before <= 10
    ask(made)


def test_another_host_is_connected_to_when_the_setting_says_so(secret: RotatingSecret, databases: Databases) -> None:
    """An endpoint changes without a restart; callers that wait for the old one move to the new one."""
    with closed_port() as port:
        address = Address("127.0.0.1", port)
        made = databases(secret, where=lambda: address)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, made)
            _pause(0.2)
            assert not waiting.done()
            address = Address(secret.server.host, secret.server.port)
            waiting.result()


def test_a_server_that_stays_away_is_reported_after_the_budget(secret: RotatingSecret, databases: Databases) -> None:
    """Neither at once nor never."""
    with closed_port() as port:
        made = databases(secret, where=lambda: Address("127.0.0.1", port), db_connect_budget_s=0.3)
        with pytest.raises(Unreachable, match="did not answer") as caught:
            ask(made)
    assert isinstance(caught.value, OperationalError)


def _away(kind: Literal["away", "throttled", "slow", "denied"], aws: AwsServer) -> LoopbackServer:
    """Return a Secrets Manager that works until `broken` is set, then fails in one way."""
    import http.client

    def forward(request: Any) -> Any:
        if server.broken and (kind != "denied" or b"AWSPENDING" in request.body):  # type: ignore[attr-defined]
            slow = Stall()
            no = b'{"__type": "%s"}' % (b"AccessDeniedException" if kind == "denied" else b"ThrottlingException")
            return slow if kind == "slow" else Answer(500 if kind == "away" else 400, no)
        with closing(http.client.HTTPConnection("127.0.0.1", aws.port, timeout=5)) as connection:
            connection.request("POST", "/", request.body, {name: request.headers[name] for name in
                               ("x-amz-target", "content-type", "authorization", "x-amz-date")})  # fmt: skip
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {"Content-Type": "application/x-amz-json-1.1"})

    server = LoopbackServer(forward)
    server.broken = False  # type: ignore[attr-defined]
    return server


@pytest.mark.parametrize("kind", ["away", "throttled", "slow", "denied"])
def test_a_heal_survives_a_vault_that_fails(
    kind: Literal["away", "throttled", "slow", "denied"],
    mariadb_server: DatabaseServer,
    moto: AwsServer,
    databases: Databases,
) -> None:
    """No caller waits longer than the checkout timeout, and when the vault is back, it recovers."""
    secret = RotatingSecret(mariadb_server, moto)
    with _away(kind, moto) as front:
        address = AwsServer(moto.process, int(front.url.rpartition(":")[2]), moto.access_key, moto.secret_key)
        client = address.client("secretsmanager", read_timeout=0.5, connect_timeout=0.5)
        made = databases(secret, client, db_heal_s=1.0, probe_s=0.3)
        ask(made)
        made.dispose()
        _pause(0.4)
        front.broken = True  # type: ignore[attr-defined]
        secret.rotate()
        if kind != "denied":
            with pytest.raises(Refused):
                ask(made)
            front.broken = False  # type: ignore[attr-defined]
        end = monotonic() + 20
        while True:
            try:
                ask(made)
                break
            except Refused:
                assert kind != "denied"
                assert monotonic() < end
                _pause(0.05)


def test_a_worker_forked_in_the_middle_of_it_connects_for_itself(secret: RotatingSecret, databases: Databases) -> None:
    """Gunicorn with --preload."""
    made = databases(secret)
    ask(made)
    filling = threading.Thread(target=lambda: ask(made), daemon=True)
    filling.start()

    def in_child() -> None:
        made.dispose(close=False)
        ask(made)

    code = exit_code(start_child(in_child))
    filling.join()
    assert code == 0


def test_iam_tokens_are_renewed_before_they_end(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that boto3 made stands in for the password; ten minutes later it is another one."""
    from carboy.aws.clients import forget
    from carboy.aws.db_credentials import make_token

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "eu-west-1")
    forget()
    server.create_user(f"iam_{server.dialect}", "not yet")
    tokens: list[str] = []

    def issue(host: str, port: int, user: str) -> str:
        token = f"{make_token(host, port, user)}&n={len(tokens)}"
        tokens.append(token)
        server.set_password(user, token)
        return token

    clock = ManualClock()
    logins = IamLogins(lambda: (server.host, server.port, f"iam_{server.dialect}"), sign=issue, clock=clock)
    url = f"{server.dialect}://iam_{server.dialect}@{server.host}:{server.port}/{server.database}"
    settings = DbSettings(database_url=url, db_auth="iam", db_tls_ca=server.ca_path)
    made = engine(settings, logins)

    for _ in range(2):
        ask(made)
        made.dispose()
    clock.advance(601)
    ask(made)
    made.dispose()
    forget()

    assert len(tokens) == 2
    assert "Action=connect" in tokens[0]
    assert f"DBUser=iam_{server.dialect}" in tokens[0]


def test_no_password_is_in_what_is_written(secret: RotatingSecret, databases: Databases) -> None:
    """Log lines, errors, `repr`, URLs, through a rotation, a refusal and an absence."""
    stream = io.StringIO()
    logs.setup("DEBUG", "json", stream=stream)
    made = databases(secret, db_heal_s=0.3, probe_s=0.1, db_connect_budget_s=0.2)
    ask(made)
    made.dispose()
    secret.rotate()
    _pause(0.2)
    ask(made)
    made.dispose()
    secret.change_password()
    try:
        ask(made)
    except Refused:
        logs.get_logger("test").exception("it_failed")
    written = f"{stream.getvalue()} {made!r} {made.url!r} {vars(made)}"

    assert "it_failed" in written
    assert "marked-password" not in written
