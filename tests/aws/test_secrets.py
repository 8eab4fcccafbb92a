"""Secrets of every kind, from moto over HTTP by the real boto3: what is asked, how often, and what comes of it."""

import io
import json
import pickle
import threading
from typing import Any

import pytest
from tests.aws.kit import Aws
from tests.forks import exit_code, start_child

from carboy import logs
from carboy.aws import ParameterCache, SecretCache, SecretValue, client
from carboy.aws.resolving import ParameterResolver, SecretResolver
from carboy.config import Reference
from carboy.errors import Missing, UsageError
from carboy.testing import ManualClock


def test_a_json_secret_is_a_dict_and_any_other_is_text_or_bytes(aws: Aws) -> None:
    """As they were stored."""
    secrets = SecretCache(aws.client("secretsmanager"))
    found = secrets.get(aws.secret({"username": "app", "password": "1e5"}))

    assert found["password"] == "1e5"
    assert found == {"username": "app", "password": "1e5"}
    assert found.stages == ("AWSCURRENT",)
    assert secrets.get(aws.secret("just text")).text == "just text"
    assert secrets.get(aws.secret(b"\x00\xff")).binary == b"\x00\xff"
    with pytest.raises(UsageError, match="binary"):
        _ = secrets.get(aws.secret(b"\x00")).text
    with pytest.raises(UsageError, match="not a JSON object"):
        secrets.get(aws.secret("[1]"))["x"]
    with pytest.raises(KeyError):
        found["pasword"]


def test_a_secret_is_not_shown_and_not_changed(aws: Aws) -> None:
    """It is shared by all threads, and `repr` goes into logs."""
    value = SecretCache(aws.client("secretsmanager")).get(aws.secret({"password": "hush-hush-hush"}))

    assert "hush" not in f"{value} {value!r}"
    with pytest.raises(TypeError, match="cannot be changed"):
        value.update(a=1)
    with pytest.raises(TypeError, match="cannot be changed"):
        value["a"] = 1
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 (our own)


def test_what_a_cache_has_handed_out_is_masked_in_every_line(aws: Aws) -> None:
    """Also where its name does not sound secret."""
    stream = io.StringIO()
    logs.setup("INFO", "json", stream=stream)
    SecretCache(aws.client("secretsmanager")).get(aws.secret({"deep": {"er": ["hush-in-a-list"]}, "host": "db.local"}))

    logs.get_logger("x").info("said", text="it is hush-in-a-list at db.local")

    assert "hush-in-a-list" not in stream.getvalue()
    assert "db.local" in stream.getvalue()


def test_the_stage_is_always_sent(aws: Aws) -> None:
    """An agent or a policy may want it."""
    name = aws.secret("a")
    pending = aws.put(name, "b", "AWSPENDING")
    secrets = SecretCache(aws.client("secretsmanager"))

    assert secrets.get(name).text == "a"
    assert aws.params["GetSecretValue"]["VersionStage"] == "AWSCURRENT"
    assert secrets.get(name, "AWSPENDING").version == pending
    assert secrets.get(name, "xAWSCURRENT"[1:]).text == "a"
    assert aws.calls["GetSecretValue"] == 2


def test_a_kept_secret_is_read_without_a_lock(aws: Aws) -> None:
    """A thread that has the cache's lock blocks no reader."""
    name = aws.secret("a")
    secrets = SecretCache(aws.client("secretsmanager"))
    secrets.get(name)
    found: list[str] = []
    with secrets._values._changed:
        reader = threading.Thread(target=lambda: found.append(secrets.get(name).text))
        reader.start()
        reader.join(5)
    assert found == ["a"]


def test_a_refresh_fetches_once_for_all_who_saw_the_same_version(aws: Aws) -> None:
    """`unless` is what they saw: the value, its version, or several."""
    clock = ManualClock()
    name = aws.secret("old")
    secrets = SecretCache(aws.client("secretsmanager"), clock=clock)
    seen = secrets.get(name)
    aws.put(name, "new")
    clock.advance(10)

    assert secrets.refresh(name, unless="another version") == seen
    assert secrets.refresh(name, unless=seen).text == "new"
    assert secrets.refresh(name, unless=seen).text == "new"
    assert secrets.refresh(name, unless={seen.version}).text == "new"
    assert aws.calls["GetSecretValue"] == 2


def test_many_secrets_come_in_twenties(aws: Aws) -> None:
    """One call for twenty; what is not there spoils nothing."""
    names = [aws.secret(f"value {number}") for number in range(30)]
    secrets = SecretCache(aws.client("secretsmanager"))

    found = secrets.get_many([*names, "/test/nowhere"])

    values = [one for one in found.values() if isinstance(one, SecretValue)]
    assert [one.text for one in values] == [f"value {number}" for number in range(30)]
    assert isinstance(found["/test/nowhere"], Missing)
    assert aws.calls == {"BatchGetSecretValue": 2}
    secrets.get_many(names)
    assert aws.calls == {"BatchGetSecretValue": 2}


def test_references_to_secrets_pick_fields_and_report_what_is_missing(aws: Aws) -> None:
    """A field that is not text comes as JSON; an absent secret gives None, an absent field an error."""
    name = aws.secret({"password": "p", "port": 5432, "tags": ["a"]})
    resolver = SecretResolver(SecretCache(aws.client("secretsmanager")))
    fields = ["password", "port", "tags", "", "none"]
    references = {field: Reference("aws-secretsmanager", name, field) for field in fields}

    found = resolver.resolve([*references.values(), Reference("aws-secretsmanager", "/test/nowhere")])

    assert [found[references[field]] for field in ("password", "port", "tags")] == ["p", "5432", '["a"]']
    assert json.loads(str(found[references[""]]))["port"] == 5432
    assert "no field `none`" in str(found[references["none"]])
    assert found[Reference("aws-secretsmanager", "/test/nowhere")] is None


def test_parameters_come_in_tens_and_by_path(aws: Aws) -> None:
    """Decrypted, every page; what is not there spoils nothing."""
    prefix = aws.name("tree")
    names = [f"{prefix}/p{number:02}" for number in range(25)]
    for name in names:
        aws.parameter(name, f"at {name}", "SecureString")
    parameters = ParameterCache(aws.client("ssm"))

    found = parameters.get_many([*names, "/test/nowhere"])

    assert [found[name] for name in names] == [f"at {name}" for name in names]
    assert isinstance(found["/test/nowhere"], Missing)
    assert aws.calls == {"GetParameters": 3}
    assert parameters.below(f"{prefix}/") == {name: f"at {name}" for name in names}
    assert aws.calls["GetParametersByPath"] == 3
    assert parameters.get(names[3]) == f"at {names[3]}"
    with pytest.raises(Missing, match="nowhere"):
        parameters.get("/test/nowhere")
    resolved = ParameterResolver(parameters).resolve([Reference("aws-parameterstore", "/test/nowhere")])
    assert list(resolved.values()) == [None]


def test_a_parameter_is_refreshed_unless_it_differs(aws: Aws) -> None:
    """As secrets are."""
    clock, name = ManualClock(), aws.name("parameter")
    aws.parameter(name, "old")
    parameters = ParameterCache(aws.client("ssm"), clock=clock)
    assert parameters.get(name) == "old"
    aws.parameter(name, "new")
    clock.advance(10)

    assert parameters.refresh(name, unless="something else") == "old"
    assert parameters.refresh(name, unless="old") == "new"


@pytest.mark.usefixtures("aws_environment")
def test_a_forked_worker_has_clients_of_its_own(aws: Aws) -> None:
    """The parent's sockets are the parent's."""
    name = aws.secret("a")
    secrets, given = SecretCache(), SecretCache(aws.client("secretsmanager"))
    before: Any = client("secretsmanager")
    secrets.get(name)
    given.get(name)
    other = aws.secret("b")

    def in_child() -> bool:
        is_well = secrets.get(name).text == "a" and secrets.get(other).text == given.get(other).text == "b"
        return is_well and client("secretsmanager") is not before

    assert exit_code(start_child(in_child)) == 0
    assert secrets.get(other).text == "b"


def test_a_cleared_secret_is_always_fetched_again(aws: Aws) -> None:
    """Within the least interval too; one by its name, or all."""
    secrets, parameters = SecretCache(aws.client("secretsmanager")), ParameterCache(aws.client("ssm"))
    name = aws.secret("a")
    assert secrets.get(name).text == "a"
    aws.put(name, "b")

    secrets.clear_cache(name)
    assert secrets.get(name).text == "b"
    aws.put(name, "c")
    assert secrets.refresh(name).text == "c"
    aws.put(name, "d")
    secrets.clear_cache()
    assert secrets.get(name).text == "d"
    parameters.clear_cache()
