"""The closed configuration file: what one call per stage saves, and what a render costs over a bare parse.

KMS stands on loopback in a process of its own and answers after 10 ms.
"""

import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable

from carboy.aws import Kms
from carboy.config.encrypted.decrypt import render_stage
from carboy.config.encrypted.encrypt import close_text
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.structure import parse_config
from carboy.config.encrypted.yaml_edit import dump_yaml

DELAY_S = 0.010


def run() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.signing_keys", str(DELAY_S)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        measure(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()


def measure(url: str) -> None:
    kms = connect(url)
    sealed = make_file(500, 0, kms)
    old = "stages: {prod: {environment: prod, key: prod-key}}\nconfig:\n" + "".join(
        f"  k{i}: {{+prod: ':decrypt:{b64encode(kms.encrypt(b'x' * 24, 'alias/prod-key', {})[0]).decode()}'}}\n"
        for i in range(500)
    )
    ciphertexts = [text for text, _ in parse_config(old, "old").secrets.values()]

    def one_by_one() -> None:
        ring, stage = Keyring(lambda _: kms, "carboy"), parse_config(old, "old").stages["prod"]
        for text in ciphertexts:
            ring.open_old(stage, text)

    serial = timed(one_by_one, 1)
    envelope = timed(lambda: render(sealed, kms), 5)
    parallel = timed(lambda: render(old, kms), 3)
    print(f"500 secrets, one call per value        {serial * 1000:8.0f} ms")
    print(f"500 secrets, sealed: one call          {envelope * 1000:8.0f} ms   {serial / envelope:6.1f} times faster")
    print(f"500 secrets, Fleece's: parallel calls  {parallel * 1000:8.0f} ms   {serial / parallel:6.1f} times faster")

    big = make_file(1_000, 4_000, kms)
    import yaml

    bare = timed(lambda: yaml.load(big, yaml.CSafeLoader), 7)
    whole = timed(lambda: dump_yaml(render(big, kms)), 7) - DELAY_S
    values = timed(lambda: render(big, kms), 7) - DELAY_S
    print(f"5,000 keys, 1,000 secrets: bare parse  {bare * 1000:8.0f} ms")
    print(f"  rendered to values, KMS's wait apart {values * 1000:8.0f} ms   {values / bare:6.2f} times the parse")
    print(f"  rendered to YAML, KMS's wait apart   {whole * 1000:8.0f} ms   {whole / bare:6.2f} times the parse")


def connect(url: str) -> Kms:
    import boto3
    from botocore.config import Config

    session = boto3.Session("testing", "testing", region_name="eu-west-1")
    return Kms(session.client("kms", endpoint_url=url, config=Config(max_pool_connections=32)))


def make_file(secrets: int, plain: int, kms: Kms) -> str:
    lines = [f"  s{i}:\n    +prod: :encrypt:secret-number-{i}\n" for i in range(secrets)]
    lines += [f"  p{i}: value number {i}\n" for i in range(plain)]
    text = "stages:\n  prod: {environment: prod, key: prod-key}\nconfig:\n" + "".join(lines)
    closed = close_text(text, "open", None, Keyring(lambda _: kms, "carboy"))
    assert closed is not None
    return closed


def render(text: str, kms: Kms) -> dict[str, object]:
    config = parse_config(text, "config.yml")
    return render_stage(config, "prod", Keyring(lambda _: kms, config.app))


def timed(work: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


if __name__ == "__main__":
    run()
