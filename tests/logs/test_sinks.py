"""Lines arrive whole, and who logs never pays for a stream or a disk."""

import functools
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.forks import exit_code, start_child

from carboy import logs
from carboy.errors import ConfigurationError
from carboy.logs.sinks import FileSink

log = logs.get_logger("app")


def _read(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no")


def test_a_broken_stream_does_not_reach_who_logs(tmp_path: Path) -> None:
    """Closed, gone, failing, or none at all."""
    closed = (tmp_path / "closed").open("w")
    closed.close()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        for stream in (closed, gone, Broken(), io.BytesIO()):
            logs.setup("INFO", "json", stream)
            log.info("x")
            logging.getLogger("lib").error("y")
            logs.reset()


def test_a_program_goes_on_when_the_reader_of_its_stdout_has_gone() -> None:
    """As behind `| head -1`: no traceback, no exit code of its own."""
    code = """
import sys, time
from carboy import logs
logs.setup("INFO", "json")
for number in range(2000):
    logs.get_logger().info("x" * 100, number=number)
sys.stderr.write("done")
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.readline()
    program.stdout.close()

    assert program.stderr.read() == b"done"
    assert program.wait() == 0
    program.stderr.close()


def test_what_was_printed_before_stays_before() -> None:
    """Prints wait in Python's buffer, lines do not; the order is kept all the same."""
    code = "from carboy import logs; logs.setup(); print('a'); logs.get_logger().info('b'); print('c')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert [line if len(line) == 1 else "b" for line in done.stdout.splitlines()] == ["a", "b", "c"]


def test_a_stream_that_must_not_block_gets_whole_lines() -> None:
    """A parent may have set its end of the pipe so; a slow reader is waited for."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    read: list[bytes] = []

    def slowly() -> None:
        while chunk := os.read(reader, 65536):
            read.append(chunk)

    thread = threading.Thread(target=slowly)
    with os.fdopen(writer, "w") as stream:
        logs.setup("INFO", "json", stream, max_chars=1_000_000)
        thread.start()
        for _ in range(20):
            log.info("x", v="y" * 100_000)
    thread.join()
    os.close(reader)

    lines = b"".join(read).splitlines()
    assert len(lines) == 20
    assert all(len(json.loads(line)["v"]) == 100_000 for line in lines)


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    """Also those longer than what a pipe takes at once."""
    with (tmp_path / "out").open("w") as stream:
        logs.setup("INFO", "json", stream, file=tmp_path / "app.log", file_max_bytes=0)

        def work(number: int) -> None:
            for _ in range(50):
                log.info(str(number) * 5000)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for name in ("out", "app.log"):
        events = _read(tmp_path / name)
        assert len(events) == 400
        assert all(len(set(event)) == 1 for event in events)


def test_a_signal_handler_may_log_while_its_thread_does(tmp_path: Path) -> None:
    """No dead end, no error."""
    with (tmp_path / "out").open("w") as stream:
        logs.setup("INFO", "json", stream)
        before = signal.signal(signal.SIGALRM, lambda *_: log.info("alarm"))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            for _ in range(3000):
                log.info("x")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    assert {"x", "alarm"} >= set(_read(tmp_path / "out"))


def test_a_forked_child_can_log_though_a_thread_had_the_locks(tmp_path: Path) -> None:
    """Fresh locks in the child, and no line twice."""
    logging.root.handlers.clear()  # pytest's own write through Python's buffers, whose locks a child inherits
    with (tmp_path / "out").open("w") as stream:
        logs.setup("INFO", "json", stream, file=tmp_path / "app.log")
        log.info("before")
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                log.info("x")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        children = [start_child(lambda: log.info("child")) for _ in range(20)]
        stop.set()
        for thread in threads:
            thread.join()
        codes = [exit_code(child) for child in children]

    assert codes == [0] * 20
    for name in ("out", "app.log"):
        events = _read(tmp_path / name)
        assert (events.count("before"), events.count("child")) == (1, 20)


def test_a_full_file_is_renamed_and_the_oldest_goes(tmp_path: Path) -> None:
    """As many files in all as were asked for, none larger than was asked for, the latest lines kept in order."""
    logs.setup("INFO", "json", io.StringIO(), file=tmp_path / "app.log", file_max_bytes=1000, file_max_count=3)
    for number in range(100):
        log.info("%03d", number)

    names = sorted(path.name for path in tmp_path.iterdir())
    events = [event for name in reversed(names) for event in _read(tmp_path / name)]
    assert names == ["app.log", "app.log.1", "app.log.2"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in names)
    assert events == [f"{number:03}" for number in range(100 - len(events), 100)]


@pytest.mark.parametrize(("max_bytes", "max_count", "files"), [(0, 5, 1), (100, 1, 1), (1, 2, 2)])
def test_the_bounds_of_files_have_bounds(tmp_path: Path, max_bytes: int, max_count: int, files: int) -> None:
    """No bound, one file, and lines larger than a file may be."""
    logs.setup("INFO", "json", io.StringIO(), file=tmp_path / "a", file_max_bytes=max_bytes, file_max_count=max_count)
    for _ in range(10):
        log.info("x")

    assert len(list(tmp_path.iterdir())) == files
    assert _read(tmp_path / "a")[-1] == "x"


def test_processes_share_a_file_through_its_renaming(tmp_path: Path) -> None:
    """Workers of one server write to one file: each line once, none lost, as long as the files hold them."""
    logs.setup("INFO", "json", io.StringIO(), file=tmp_path / "a", file_max_bytes=2000, file_max_count=200)

    def work(worker: int) -> None:
        for number in range(100):
            log.info("%d-%d", worker, number)

    children = [start_child(functools.partial(work, worker)) for worker in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4

    events = [event for path in tmp_path.iterdir() for event in _read(path)]
    assert sorted(events) == sorted(f"{worker}-{number}" for worker in range(4) for number in range(100))
    assert len(list(tmp_path.iterdir())) > 5


def test_a_disk_that_is_full_does_not_reach_who_logs() -> None:
    """/dev/full fails every write."""
    sink = FileSink("/dev/full", 0, 1)
    sink.write(b"x\n")
    sink.close()
    sink.write(b"y\n")

    assert sink.lost == 2


def test_a_wrong_setup_names_every_fault_and_changes_nothing(tmp_path: Path) -> None:
    """By the names of the settings; exit code 3; no raw value in the text."""
    stream = io.StringIO()
    logs.setup("INFO", "json", stream)

    with pytest.raises(ConfigurationError) as caught:
        logs.setup("loudly", "xml", file=tmp_path / "absent" / "app.log")
    log.info("still here")

    assert [fault.pointer for fault in caught.value.faults] == ["LOG_LEVEL", "LOG_FORMAT", "LOG_FILE"]
    assert caught.value.exit_code == 3
    assert "loudly" not in str(caught.value)
    assert "still here" in stream.getvalue()


def test_levels_can_be_given_in_each_way() -> None:
    """A name in any case, a number, a number as text: an environment variable holds only text."""
    for level in ("warning", "WARN", " Warning ", "30", 30):
        logs.setup(level, "json", io.StringIO())
        assert log.get_effective_level() == logging.WARNING


def test_the_root_logger_can_be_set_up_as_in_fleece() -> None:
    """A level and a stream are enough."""
    stream = io.StringIO()
    logs.setup_root_logger(logging.WARNING, stream)
    logs.getLogger("x").info("a")
    logging.getLogger("y").warning("b")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["b"]


def test_lines_of_many_processes_on_one_pipe_are_whole() -> None:
    """Also long ones, when the reader is slow: a write of more than PIPE_BUF bytes is not atomic."""
    code = """
import sys
from carboy import logs
logs.setup("INFO", "json")
for number in range(150):
    logs.get_logger("p" + sys.argv[1]).info("x" * (9000 if number % 3 else 10), number=number)
"""
    reader, writer = os.pipe()
    programs = [subprocess.Popen([sys.executable, "-c", code, str(one)], stdout=writer) for one in range(4)]
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        found = [json.loads(line) for line in lines]
    for program in programs:
        assert program.wait(60) == 0

    seen = {(line["logger"], line["number"]) for line in found}
    assert len(found) == len(seen) == 4 * 150


def test_a_process_that_is_frozen_in_its_turn_holds_no_other_up() -> None:
    """It is waited for, and not for ever."""
    reader, writer = os.pipe()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, time; fcntl.lockf(1, fcntl.LOCK_EX); os.write(1, b'1'); time.sleep(99)",
        ],
        stdout=writer,
    )
    try:
        assert os.read(reader, 2) == b"1"
        with os.fdopen(writer, "w") as stream:
            logs.setup("INFO", "json", stream)
            log.info("x")
            logs.reset()
        assert json.loads(os.read(reader, 4096))["event"] == "x"
    finally:
        holder.kill()
        holder.wait()
        os.close(reader)
