"""Metrics of one process: the façade, `/metrics`, and `METRICS_BIND`."""

import http.client
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from carboy import __version__
from carboy.errors import ConfigurationError, UsageError
from carboy.serve import Service
from carboy.web import Metrics, MetricsListener, runtime


def test_a_counter_is_reported_with_its_labels() -> None:
    """In the text format of Prometheus."""
    metrics = Metrics()
    sent = metrics.counter("sent_total", "What was sent.", ("provider",))
    sent.inc(("b",))
    sent.inc(("a",), 2.5)

    assert set(metrics.render().decode().splitlines()) == {
        "# HELP sent_total What was sent.",
        "# TYPE sent_total counter",
        'sent_total{provider="a"} 2.5',
        'sent_total{provider="b"} 1.0',
    }


def test_a_gauge_goes_up_and_down() -> None:
    """Without labels it begins at 0."""
    metrics = Metrics()
    open_now = metrics.gauge("open_now", "Open.")
    assert metrics.render().endswith(b"open_now 0.0\n")

    open_now.inc(by=3)
    open_now.inc(by=-1)
    assert open_now.value() == 2
    open_now.set(7)

    assert metrics.render().endswith(b"open_now 7.0\n")


def test_a_histogram_adds_up() -> None:
    """Each bucket holds those below it; the last holds all."""
    metrics = Metrics()
    took = metrics.histogram("took_seconds", "Time.", ("route",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        took.observe(value, ("/",))

    assert metrics.render().decode().splitlines()[2:] == [
        'took_seconds_bucket{le="0.1",route="/"} 2.0',
        'took_seconds_bucket{le="1.0",route="/"} 3.0',
        'took_seconds_bucket{le="+Inf",route="/"} 4.0',
        'took_seconds_count{route="/"} 4.0',
        'took_seconds_sum{route="/"} 3.65',
    ]


@given(st.text())
def test_a_label_cannot_break_out_of_its_quotes(value: str) -> None:
    """With any content, a sample is one line."""
    metrics = Metrics()
    metrics.counter("x_total", "X.", ("label",)).inc((value,))

    *_, line, rest = metrics.render().decode().split("\n")

    assert rest == ""
    assert line.startswith('x_total{label="')
    inside = line.removeprefix('x_total{label="').removesuffix('"} 1.0')
    assert (
        inside.replace("\\\\", "\0").replace('\\"', "\1").replace("\\n", "\n").replace("\1", '"').replace("\0", "\\")
        == value
        or "\0" in value
        or "\1" in value
    )


def test_counting_is_exact_in_many_threads() -> None:
    """Nothing is lost between reading and writing."""
    metrics = Metrics()
    counted = metrics.counter("x_total", "X.")
    took = metrics.histogram("y_seconds", "Y.")

    def count(_: int) -> None:
        for _ in range(500):
            counted.inc()
            took.observe(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))

    assert counted.value() == 4000
    assert b"y_seconds_count 4000.0" in metrics.render()


def test_what_cannot_be_read_now_is_left_out() -> None:
    """The database may be unavailable: the rest is still reported."""
    metrics = Metrics()
    metrics.collect("broken", "B.", lambda: [((), 1 / 0)])
    metrics.counter("fine_total", "F.").inc()

    assert metrics.render().endswith(b"fine_total 1.0\n")


@pytest.mark.parametrize("name", ["", "a-b", "1a", "é"])
def test_a_name_is_one_of_prometheus(name: str) -> None:
    """Found where it is written, not when it is scraped."""
    with pytest.raises(UsageError):
        Metrics().counter(name, "X.")


def test_a_name_is_given_once() -> None:
    """Two of a name would be reported as one."""
    metrics = Metrics()
    metrics.counter("x_total", "X.")

    with pytest.raises(UsageError):
        metrics.gauge("x_total", "X.")


def test_a_users_own_metrics_are_on_the_page() -> None:
    """Those of prometheus-client's default registry; without the library's view of one process and of Python."""
    sold = prometheus_client.Counter("orders_sold", "Sold.")
    sold.inc(3)
    try:
        text = Metrics().render().decode()
    finally:
        prometheus_client.REGISTRY.unregister(sold)

    assert "\norders_sold_total 3.0\n" in text
    assert "python_info" not in text
    assert "process_cpu_seconds" not in text


def test_a_users_metric_of_our_name_does_not_break_the_page() -> None:
    """Prometheus refuses a page with a duplicate name: Carboy's is kept."""
    theirs = prometheus_client.Counter("http_requests_total", "Theirs.")
    metrics = Metrics()
    metrics.counter("http_requests_total", "Ours.").inc()
    try:
        families = list(text_string_to_metric_families(metrics.render().decode()))
    finally:
        prometheus_client.REGISTRY.unregister(theirs)

    assert [family.documentation for family in families if family.name == "http_requests"] == ["Ours."]


def test_a_users_collector_that_fails_leaves_the_other_metrics(lines: Any, make_app: Any) -> None:
    class Broken:
        def collect(self) -> Any:
            raise ZeroDivisionError

    app = make_app(auth="off")
    broken: Any = Broken()
    prometheus_client.REGISTRY._collector_to_names[broken] = []
    try:
        assert "process_threads" in _told(app.test_client())
    finally:
        prometheus_client.REGISTRY.unregister(broken)

    assert len(lines("metrics_collector_failed")) == 1


def test_on_lambda_nothing_is_counted_or_loaded(tmp_path: Path) -> None:
    """CloudWatch counts there; `/metrics` is a 404 that says why."""
    program = (
        "import sys\n"
        "from carboy import create_app\n"
        "app = create_app('test', modules='', auth='off')\n"
        "client = app.test_client()\n"
        "assert client.get('/livez').status_code == 200\n"
        "answer = client.get('/metrics')\n"
        "assert answer.status_code == 404 and 'Lambda' in answer.json['detail'], answer.text\n"
        "assert 'prometheus_client' not in sys.modules\n"
    )
    environ = {**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "orders"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True)


def test_without_the_library_nothing_is_counted(tmp_path: Path) -> None:
    """The application works; `/metrics` names the extra, and so does `METRICS_BIND` at the start."""
    program = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'prometheus_client' else find(name, *more)\n"
        "sys.modules['prometheus_client'] = None\n"
        "from carboy import create_app\n"
        "from carboy.errors import MissingExtra\n"
        "from carboy.serve import Service\n"
        "app = create_app('test', modules='', auth='off', metrics_bind='127.0.0.1:0')\n"
        "client = app.test_client()\n"
        "assert client.get('/livez').status_code == 200\n"
        "assert 'carboy[metrics]' in client.get('/metrics').json['detail']\n"
        "try:\n    Service(app).start()\n"
        "except MissingExtra as error:\n    assert 'carboy[metrics]' in error.hint\n"
        "else:\n    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def _register(app: Flask) -> None:
    @app.get("/orders/<int:order_id>")
    def order(order_id: int) -> str:
        return "x"


def _told(client: Any) -> str:
    return str(client.get("/metrics").text)


def test_requests_are_counted_by_route_and_status(make_app: Any) -> None:
    """Not by path, which a caller chooses: the number of routes is bounded."""
    client = make_app(_register, auth="off").test_client()
    for path in ("/orders/1", "/orders/2", "/nothing/1", "/nothing/2"):
        client.get(path)
    client.open("/orders/1", method="BREW")

    told = _told(client)

    assert 'http_requests_total{method="GET",route="/orders/<int:order_id>",status="200"} 2' in told
    assert 'http_requests_total{method="GET",route="",status="404"} 2' in told
    assert 'http_requests_total{method="other",route="",status="405"} 1' in told
    assert 'http_request_duration_seconds_count{method="GET",route="/orders/<int:order_id>"} 2' in told
    assert "nothing" not in told


def test_the_process_is_notified(make_app: Any) -> None:
    """Its memory, threads, processor time and start, and the versions."""
    told = _told(make_app(auth="off").test_client())

    def value(name: str) -> float:
        return float(told.partition(f"\n{name} ")[2].partition("\n")[0])

    assert value("process_resident_memory_bytes") > 10_000_000
    assert value("process_threads") >= 1
    assert time.process_time() - 1 < value("process_cpu_seconds_total") <= time.process_time()
    assert value("process_start_time_seconds") <= time.time() - time.process_time() / (os.cpu_count() or 1)
    python = ".".join(map(str, sys.version_info[:3]))
    assert f'carboy_build_info{{python="{python}",version="{__version__}"}} 1.0' in told


def test_metrics_are_for_keys_of_their_scope(make_app: Any) -> None:
    """401, 403, 200."""
    app = make_app()
    _, other = runtime(app).keys.store.create("other", ["jobs:admin"])
    _, right = runtime(app).keys.store.create("prometheus", ["metrics:read"])
    client = app.test_client()

    statuses = [client.get("/metrics").status_code]
    statuses += [
        client.get("/metrics", headers={"Authorization": f"Bearer {text}"}).status_code for text in (other, right)
    ]

    assert statuses == [401, 403, 200]


def test_metrics_are_served_at_their_own_address(make_app: Any) -> None:
    """Without a key: the address is for the monitor alone."""
    app = make_app()
    listener = MetricsListener(runtime(app).metrics, "127.0.0.1:0")
    listener.start()
    try:
        for method, path, status, has_body in (
            ("GET", "/metrics", 200, True),
            ("HEAD", "/metrics", 200, False),
            ("GET", "/metrics?x=1", 200, True),
            ("GET", "/", 404, True),
            ("POST", "/metrics", 501, True),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == status
            assert bool(answer.read()) is has_body
            connection.close()
    finally:
        listener.stop()


def test_what_serves_serves_the_metrics_too(make_app: Any, free_port: int, lines: Any) -> None:
    """At `METRICS_BIND`, from start to stop; a second process finds the address taken and says so."""
    app = make_app(metrics_bind=f"127.0.0.1:{free_port}")
    first, second = Service(app), Service(app)
    first.start()
    second.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=10)
        connection.request("GET", "/metrics")
        assert b"process_threads" in connection.getresponse().read()
        connection.close()
        assert len(lines("metrics_not_served")) == 1
    finally:
        first.stop()
        second.stop()

    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", free_port, timeout=10).connect()


def test_an_address_that_is_taken_is_said_to_be() -> None:
    """With the setting's name."""
    first = MetricsListener(Metrics(), "127.0.0.1:0")
    try:
        with pytest.raises(ConfigurationError, match="METRICS_BIND"):
            MetricsListener(Metrics(), f"127.0.0.1:{first.port}")
    finally:
        first.stop()


def test_an_invalid_address_is_refused() -> None:
    """As at the start."""
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        MetricsListener(Metrics(), "nowhere")
