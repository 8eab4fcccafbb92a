"""Real servers, as processes, with clients of every kind."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from carboy.errors import UsageError
from carboy.serve import Plan, check_plan
from carboy.serve.affinity import choose_cpu
from carboy.testing import ServeProcess, free_port, serve_process
from carboy.testing.ports import takes_connections

APP = """
import os, threading, time
from flask import Flask, Response, request

app = Flask("probe")

@app.get("/")
def root():
    return {"pid": os.getpid()}

@app.post("/echo")
def echo():
    return request.get_data()

@app.get("/sleep/<float:seconds>")
def sleep(seconds):
    time.sleep(seconds)
    return "slept"

gate = threading.Event()

@app.get("/gated-stream")
def gated_stream():
    def parts():
        yield b"first"
        gate.wait(20)
        yield b"second"
    return Response(parts(), mimetype="text/plain")

@app.get("/open")
def open_gate():
    gate.set()
    return "open"

@app.get("/broken/<int:after>")
def broken(after):
    def parts():
        yield from [b"part"] * after
        raise ValueError("broken")
    return Response(parts(), mimetype="text/plain", direct_passthrough=True)

@app.get("/stream")
def stream():
    return Response((f"{number}\\n" for number in range(3)), mimetype="text/plain")
"""

FAST = {"KEEPALIVE_S": "1", "HEADER_TIMEOUT_S": "1", "BODY_TIMEOUT_S": "1", "DRAIN_LINGER_S": "0.1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "probe.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[ServeProcess]:
    with serve_process(project, "--app", "probe", "--threads", "16", environ=FAST) as running:
        yield running


def ask(server: ServeProcess, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def send(server: ServeProcess, data: bytes, *, and_end: bool = False) -> bytes:
    """Send raw bytes, then read to the end; `and_end` closes our side first."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(data)
        if and_end:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_bodies_of_every_kind_arrive_whole(server: ServeProcess) -> None:
    """Small and large, with a length and in chunks, on one connection after the other."""
    large = bytes(range(256)) * 8192

    assert ask(server, "POST", "/echo", b"small") == (200, b"small")
    assert ask(server, "POST", "/echo", large) == (200, large)
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert send(server, chunked + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").endswith(b"abcde")


def test_answers_of_every_kind_leave_whole(server: ServeProcess) -> None:
    """Streamed ones too; HEAD has the length and no body."""
    assert ask(server, "GET", "/stream") == (200, b"0\n1\n2\n")
    head = send(server, b"HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.lower().partition(b"\r\n\r\n")[2] == b""
    assert b"content-length" in head.lower()


def test_the_first_part_of_a_stream_is_not_waited_with(server: ServeProcess) -> None:
    """Head and first part leave at once, whenever the second one comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET /gated-stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        while not found.endswith(b"first\r\n"):
            found += client.recv(65536)
        ask(server, "GET", "/open")
        rest = b"".join(iter(lambda: client.recv(65536), b""))

    assert found.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.startswith(b"6\r\nsecond\r\n")


def test_a_stream_that_breaks_is_cut_or_answered_500(server: ServeProcess) -> None:
    """Before its first part there is no head to take back; after it the end is missing."""
    before = send(server, b"GET /broken/0 HTTP/1.1\r\nHost: x\r\n\r\n")
    after = send(server, b"GET /broken/2 HTTP/1.1\r\nHost: x\r\n\r\n")

    assert before.startswith(b"HTTP/1.1 500 ")
    assert before.count(b"HTTP/1.1") == 1
    assert after.startswith(b"HTTP/1.1 200 ")
    assert after.count(b"part") == 2
    assert b"\r\n0\r\n" not in after


def test_a_body_that_was_cut_off_is_no_request(server: ServeProcess) -> None:
    """The view never sees the half of a document as a whole one."""
    answer = send(server, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", and_end=True)

    assert b"200 OK" not in answer
    assert b"half" not in answer


@pytest.mark.parametrize("kind", ["silent", "headers", "body"])
def test_clients_that_send_a_byte_a_second_block_no_other_client(server: ServeProcess, kind: str) -> None:
    """More of them than there are threads: others are answered, and each is let go in its time."""
    first = {
        "silent": b"",
        "headers": b"POST /echo HTTP/1.1\r\nHost: x\r\n",
        "body": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    }[kind]
    drop = {"silent": b"", "headers": b"X-A: b\r\n", "body": b"x"}[kind]
    ends: Counter[bytes] = Counter()

    def be_slow() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(first)
            client.settimeout(0.3)
            end = b""
            for _ in range(100):
                try:
                    end = client.recv(1000).partition(b"\r\n")[0]
                    break
                except TimeoutError:
                    client.sendall(drop)
                except OSError:
                    break
            else:
                end = b"held for ever"
            ends[end] += 1

    threads = [threading.Thread(target=be_slow) for _ in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    statuses = [ask(server, "GET", "/")[0] for _ in range(5)]
    for thread in threads:
        thread.join()

    assert statuses == [200] * 5
    assert ends.total() == 40
    assert b"held for ever" not in ends
    if kind == "body":
        assert any(b"408" in end for end in ends)


def test_a_stop_waits_for_an_open_request_and_a_second_signal_does_not(project: Path) -> None:
    """The first signal ends with code 0 after the last answer, the second at once."""
    with serve_process(project, "--app", "probe", environ=FAST) as running:
        answers: list[tuple[int, bytes]] = []
        client = threading.Thread(target=lambda: answers.append(ask(running, "GET", "/sleep/1.0")))
        client.start()
        time.sleep(0.3)
        assert running.stop() == 0
        client.join()
        assert answers == [(200, b"slept")]

    with serve_process(project, "--app", "probe", environ=FAST) as running:
        client = threading.Thread(target=ask_in_vain, args=(running, "/sleep/60.0"))
        client.start()
        time.sleep(0.3)
        os.killpg(running.process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end(timeout_s=20) != 0
        client.join()


def test_a_request_that_outlasts_the_time_for_a_stop_is_cut_and_logged(project: Path) -> None:
    """The process ends all the same, and not as though nothing had happened."""
    slow = {**FAST, "DRAIN_S": "0.5"}
    with serve_process(project, "--app", "probe", environ=slow) as running:
        client = threading.Thread(target=ask_in_vain, args=(running, "/sleep/60.0"))
        client.start()
        time.sleep(0.3)
        assert running.stop(timeout_s=20) == 1
        assert "DRAIN_S" in running.said
        client.join()


def test_gunicorn_by_itself_takes_our_configuration(tmp_path: Path) -> None:
    """With the application loaded before the fork: it answers, its database is at its newest, a stop ends with 0."""
    (tmp_path / "orders.py").write_text("def register(app):\n    pass\n")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:carboy.serve.gunicorn_conf", "--preload"]
    with subprocess.Popen(
        [*command, "-b", f"127.0.0.1:{port}", "carboy:create_app()"],
        cwd=tmp_path,
        env={**os.environ, **FAST, "MODULES": "orders"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: takes_connections(port))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
            assert json.loads(answer.read())["status"] == "ready"
        process.terminate()
        assert process.wait(30) == 0


def test_several_processes_serve_one_port_and_a_dead_one_is_replaced(project: Path) -> None:
    """Each answers; after a kill there are as many as before; all are gone after the stop."""
    with serve_process(project, "--app", "probe", "--workers", "2", environ=FAST) as running:
        pids: set[bytes] = set()

        def both_answered() -> bool:
            with ThreadPoolExecutor(8) as pool:
                pids.update(answer[1] for answer in pool.map(lambda _: ask(running, "GET", "/"), range(40)))
            return len(pids) == 2

        wait_until(both_answered)
        workers = workers_of(running)
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(workers_of(running)) == 2 and workers[0] not in workers_of(running))

        os.kill(workers[1], signal.SIGTERM)
        wait_until(lambda: len(workers_of(running)) == 2 and workers[1] not in workers_of(running))

        assert [ask(running, "GET", "/")[0] for _ in range(20)] == [200] * 20
        assert running.stop(timeout_s=20) == 0
        assert not is_alive(workers[1])


def test_each_worker_may_stay_on_a_cpu_of_its_own(project: Path) -> None:
    """Also the one that takes a dead one's place."""
    if sys.platform != "linux":
        pytest.skip("a process chooses its CPU on Linux alone")

    def cpus(running: ServeProcess) -> list[set[int]]:
        return [os.sched_getaffinity(pid) for pid in workers_of(running)]

    amount = len(os.sched_getaffinity(0))
    options = ("--app", "probe", "--workers", str(amount))
    with serve_process(project, *options, environ={**FAST, "WORKER_CPU_AFFINITY": "auto"}) as running:
        wait_until(lambda: sorted(map(sorted, cpus(running))) == [[cpu] for cpu in sorted(os.sched_getaffinity(0))])
        killed = workers_of(running)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(workers_of(running)) == amount and killed not in workers_of(running))
        wait_until(lambda: sorted(map(sorted, cpus(running))) == [[cpu] for cpu in sorted(os.sched_getaffinity(0))])
        assert running.stop() == 0


def test_the_cpu_that_the_fewest_have_is_chosen() -> None:
    """The first of them, where there are several."""
    assert choose_cpu([3, 5, 7], []) == 3
    assert choose_cpu([3, 5, 7], [3, None, 7]) == 5
    assert choose_cpu([3, 5, 7], [3, 5, 7, 5, 3]) == 7


def test_gunicorns_workers_can_be_replaced_while_it_serves(project: Path) -> None:
    """A worker that is asked to end drains, another takes its place; clients that connect meanwhile are served."""
    with serve_process(project, "--app", "probe", environ=FAST) as running:
        old = workers_of(running)
        os.kill(old[0], signal.SIGTERM)
        wait_until(lambda: workers_of(running) != [] and not set(old) & set(workers_of(running)))

        assert [ask(running, "GET", "/")[0] for _ in range(20)] == [200] * 20
        assert running.stop() == 0


def test_no_process_outlives_a_killed_parent(project: Path) -> None:
    """A supervisor that kills the parent finds the port free."""
    with serve_process(project, "--app", "probe", "--workers", "2", environ=FAST) as running:
        workers = workers_of(running)
        running.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in workers))


def test_a_signal_sooner_than_the_first_request_is_a_stop_too(project: Path) -> None:
    """A container that is stopped while it starts ends in good order."""
    with serve_process(project, "--app", "probe", environ=FAST) as running:
        assert running.stop() == 0


def test_the_dev_server_names_an_address_that_answers(project: Path) -> None:
    """What is printed may be asked at once: the socket listens by then."""
    with serve_process(project, "--app", "probe", "--server", "dev") as running:
        assert ask(running, "POST", "/echo", b"at once") == (200, b"at once")
        assert "(dev)" in running.said
        assert running.stop() == 0


def test_the_dev_server_restarts_on_a_change_and_waits_where_one_does_not_load(tmp_path: Path) -> None:
    """An error in a file or a setting is reported once, and the next change fixes it."""
    probe = tmp_path / "probe.py"
    probe.write_text(APP)
    with serve_process(tmp_path, "--app", "probe", "--reload") as running:
        assert ask(running, "POST", "/echo", b"first") == (200, b"first")

        probe.write_text(f"{APP}\nfrom carboy import create_app; create_app(rate_limit='often')\n")
        wait_until(lambda: "waiting for the next change" in running.said)
        wait_until(lambda: ask(running, "GET", "/")[0] == 500)
        assert "error: the settings have 1 fault: `RATE_LIMIT`" in running.said
        assert "Traceback" not in running.said

        probe.write_text(f"{APP}\napp.add_url_rule('/new', view_func=lambda: 'new')\n")
        wait_until(lambda: running.said.count("serving on") == 2)
        assert ask(running, "GET", "/new") == (200, b"new")
        assert "\x1b" not in running.said
        assert running.stop() == 0


def test_options_that_cannot_go_together_are_refused() -> None:
    """The dev server and --reload run one process."""
    for plan in (Plan("dev", workers=2), Plan("gunicorn", workers=2, reload=True), Plan("gunicorn", threads=0)):
        with pytest.raises(UsageError):
            check_plan(plan)


def ask_in_vain(server: ServeProcess, path: str) -> None:
    with suppress(OSError, http.client.HTTPException):
        ask(server, "GET", path)


def workers_of(running: ServeProcess) -> list[int]:
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if is_alive(int(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def wait_until(is_so: object, timeout_s: float = 20.0) -> None:
    assert callable(is_so)
    until_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until_s, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_the_proxy_protocol_of_gunicorn_still_works(project: Path, kind: str) -> None:
    """With its own option, by itself: the line of the proxy comes first, then requests on one connection."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:carboy.serve.gunicorn_conf", "--proxy-protocol", kind]
    preface = {
        "v1": b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n",
        "v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([203, 0, 113, 9, 127, 0, 0, 1, 18, 103, 0, 80]),
    }[kind]
    requests = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 2
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with subprocess.Popen(
        [*command, "-b", f"127.0.0.1:{port}", "probe:app"], cwd=project, stdout=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: takes_connections(port))
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(preface + requests + last)
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.count(b"HTTP/1.1 200 OK") == 3
        finally:
            process.terminate()
            assert process.wait(30) == 0
