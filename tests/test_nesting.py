"""JSON without a bottom."""

import subprocess
import sys

import pytest

from carboy.nesting import is_deeper


@pytest.mark.parametrize("unit", ["[]", '{"a":}'])
@pytest.mark.parametrize(("levels", "is_too_deep"), [(64, False), (65, True), (100_000, True)])
def test_levels_are_counted(unit: str, levels: int, is_too_deep: bool) -> None:
    """Of arrays and of objects."""
    begin, end = unit[:-1], unit[-1]
    text = begin * levels + ("" if begin == "[" else "1") + end * levels

    assert is_deeper(text.encode(), 64) is is_too_deep


def test_what_stands_in_strings_and_side_by_side_does_not_count() -> None:
    """Only what stands one in another does."""
    assert not is_deeper(b'["' + b"[" * 100 + b'\\"[" ]', 64)
    assert not is_deeper(b"[" + b",".join([b'{"a": [1]}'] * 100) + b"]", 3)


@pytest.mark.parametrize("text", [b"[" * 1000, b"]" * 1000 + b"[" * 100, b'"' + b"[" * 1000])
def test_what_does_not_match_is_too_deep(text: bytes) -> None:
    """It is no JSON anyhow."""
    assert is_deeper(text, 64)


@pytest.mark.parametrize(
    "call",
    [
        "from carboy.services.archive.alerts import parse_alerts as parse",
        "from carboy.api import parse_json as parse",
    ],
)
def test_a_thread_with_a_small_stack_survives(call: str) -> None:
    """Some servers and systems have such; a crash would end the whole process."""
    code = f"""
import threading
{call}
said = []
def work():
    for body in (b"[" * 1_000_000, b'{{"a":' * 300_000):
        try:
            parse(body)
        except Exception as error:
            said.append(error.status)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(said)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "[400, 400]\n"), done.stderr
