import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import create_engine, text

from carboy.errors import ConfigurationError
from carboy.testing.ports import HOST, free_port, free_ports, takes_connections
from carboy.testing.processes import (
    AwsServer,
    BrokerServer,
    DatabaseServer,
    MissingBinary,
    ServerProcess,
    nginx,
    postgres,
    require,
    run_process,
)
from carboy.testing.processes.running import find_binary, server_folder

WEB_SERVER = [sys.executable, "-m", "http.server", "--bind", HOST]


@contextmanager
def web_server() -> Iterator[tuple[ServerProcess, int]]:
    port = free_port()
    with run_process([*WEB_SERVER, str(port)], ready=port) as server:
        yield server, port


def test_a_process_answers_when_the_block_begins_and_is_gone_when_it_ends() -> None:
    """And so is its folder."""
    with web_server() as (server, port):
        was_there = (server.is_alive, takes_connections(port), server.folder.exists())

    assert was_there == (True, True, True)
    assert (server.is_alive, takes_connections(port), server.folder.exists()) == (False, False, False)


def test_a_restart_keeps_port_and_folder() -> None:
    """The process is another."""
    with web_server() as (server, port):
        (server.folder / "kept").touch()
        first = server.pid
        server.restart()

        assert server.pid != first
        assert takes_connections(port)
        assert (server.folder / "kept").exists()


def test_a_frozen_process_takes_connections_and_says_nothing_until_it_thaws() -> None:
    """What an overloaded machine looks like from outside."""
    with web_server() as (server, port), closing(HTTPConnection(HOST, port, timeout=0.2)) as client:
        server.freeze()
        client.request("GET", "/")
        with pytest.raises(TimeoutError):
            client.getresponse()
        server.thaw()
        client.close()
        client.timeout = 10
        client.request("GET", "/")

        assert client.getresponse().status == 200


def test_children_are_killed_with_their_parent() -> None:
    """Nothing is left behind."""
    script = "import subprocess; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
    with run_process([sys.executable, "-c", script], ready="\n") as server:
        child = int(server.log)
        os.kill(child, 0)

    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_process_that_ends_at_once_says_why() -> None:
    """The end of its log is in the error."""
    script = "raise SystemExit('no such configuration')"

    with (
        pytest.raises(RuntimeError, match=r"(?s)ended with code 1.*no such configuration"),
        run_process([sys.executable, "-c", script], ready=free_port()),
    ):
        pass


def test_a_process_that_never_answers_is_given_up() -> None:
    """And killed."""
    with (
        pytest.raises(RuntimeError, match=r"did not answer within 0\.1 s"),
        run_process(["sleep", "600"], ready=free_port(), start_timeout_s=0.1),
    ):
        pass


def test_sigterm_gives_the_code() -> None:
    """Where the process ends in good order."""
    script = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); signal.pause()"
    with run_process([sys.executable, "-c", script], ready="up") as server:
        assert server.terminate() == 7


def test_a_missing_binary_says_what_to_install() -> None:
    """The Debian package."""
    with pytest.raises(MissingBinary) as caught:
        find_binary("no-such-server", "no-such-package")

    assert caught.value.hint == "apt-get install --no-install-recommends no-such-package"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user: run as root")
def test_a_folder_that_the_server_may_not_enter_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to do, before the server fails with a page of its own words."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))

    with pytest.raises(ConfigurationError) as caught, server_folder(user="nobody"):
        pass

    assert str(closed) in str(caught.value)
    assert "TMPDIR" in caught.value.hint
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_test_without_its_server_is_skipped_but_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """A test that never runs anywhere is noticed."""
    monkeypatch.setenv("CI", ci)

    @contextmanager
    def starter() -> Iterator[None]:
        find_binary("no-such-server", "no-such-package")
        yield

    with pytest.raises(outcome, match="no-such-package"), require(starter):
        pass


def test_free_ports_are_different() -> None:
    """And below those that systems give to outgoing connections."""
    ports = free_ports(50)

    assert len(set(ports)) == 50
    assert max(ports) < 32_768


def test_seaweedfs_keeps_what_it_acknowledged_and_writes_once(seaweed: AwsServer) -> None:
    """Through a kill; a second conditional put is refused."""
    s3 = seaweed.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a/b", Body=b"1", IfNoneMatch="*")

    seaweed.process.restart()

    assert s3.get_object(Bucket="kept", Key="a/b")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="kept", Key="a/b", Body=b"2", IfNoneMatch="*")


def test_moto_forgets_on_request(moto: AwsServer) -> None:
    """So tests do not see each other's secrets."""
    secrets = moto.client("secretsmanager")
    secrets.create_secret(Name="/dev/flask-rds", SecretString="x")

    moto.reset()

    assert secrets.list_secrets()["SecretList"] == []


@pytest.fixture(params=["mariadb", "postgres"])
def database(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return server


def test_a_database_is_reached_by_its_url_over_tls(database: DatabaseServer) -> None:
    """Verified against the authority that issued its certificate."""
    engine = create_engine(database.url())
    ciphers = {
        "mysql": "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'",
        "postgresql": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    }

    with engine.connect() as connection:
        cipher = connection.execute(text(ciphers[database.dialect])).scalar_one()
    engine.dispose()

    assert cipher.startswith("TLS_")


def test_a_database_keeps_what_was_committed_through_a_kill(database: DatabaseServer) -> None:
    """And each test can have a database of its own."""
    name = database.create_database()
    with closing(database.connect(database=name)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("CREATE TABLE kept (number INT)")
        cursor.execute("INSERT INTO kept VALUES (42)")

    database.process.restart()

    with closing(database.connect(database=name)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT number FROM kept")
        assert cursor.fetchall()[0] == (42,)
    assert database.create_database() != name


def test_a_password_changes_under_open_connections(database: DatabaseServer) -> None:
    """They stay open; the old password opens no new one."""
    user = f"rotating_{database.create_database()}"
    database.create_user(user, "old")
    with closing(database.connect(user, "old")) as before, closing(before.cursor()) as cursor:
        database.set_password(user, "new")
        cursor.execute("SELECT 1")

        database.connect(user, "new").close()
        with pytest.raises(Exception, match=r"1045|password authentication failed"):
            database.connect(user, "old")


def test_redis_comes_back_after_a_kill_and_has_forgotten(redis_server: BrokerServer) -> None:
    """On the same port: what a broker that loses its messages looks like."""
    with socket.create_connection((HOST, redis_server.port), timeout=10) as client:
        client.sendall(b"SET key value\r\n")
        assert client.recv(100) == b"+OK\r\n"

    redis_server.process.restart()

    with socket.create_connection((HOST, redis_server.port), timeout=10) as client:
        client.sendall(b"GET key\r\n")
        assert client.recv(100) == b"$-1\r\n"


def test_rabbitmq_speaks_amqp(rabbitmq_server: BrokerServer) -> None:
    """At the address that Celery is given."""
    with socket.create_connection((HOST, rabbitmq_server.port), timeout=10) as client:
        client.sendall(b"AMQP\x00\x00\x09\x01")

        assert b"RabbitMQ" in client.recv(1000)
    assert rabbitmq_server.url == f"amqp://guest:guest@{HOST}:{rabbitmq_server.port}//"


def test_nginx_stands_in_front(free_port: int) -> None:
    """With the server block that it was given."""
    with (
        run_process([*WEB_SERVER, str(free_port)], ready=free_port),
        require(nginx, f"location / {{ proxy_pass http://{HOST}:{free_port}; }}") as proxy,
        closing(HTTPConnection(HOST, proxy.port, timeout=10)) as client,
    ):
        client.request("GET", "/")
        answer = client.getresponse()

        assert (answer.status, answer.headers["Server"].partition("/")[0]) == (200, "nginx")


def test_a_database_with_many_connections_is_killed_whole_and_starts_again() -> None:
    """Its children too have ended before it starts: none of them keeps the shared memory."""
    with require(postgres) as server, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(closing(server.connect()))
        server.process.kill()
        server.process.start()
        assert server.execute("SELECT 1") == [(1,)]


def test_a_database_that_is_killed_leaves_no_shared_memory() -> None:
    shared = Path("/dev/shm")
    before = set(shared.glob("PostgreSQL.*"))
    with require(postgres):
        pass
    assert set(shared.glob("PostgreSQL.*")) - before == set()
