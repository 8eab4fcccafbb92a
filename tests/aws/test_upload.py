"""Parameter Store, planned; throttling waited out."""

import pytest

from carboy.aws.upload import Store, check_prefix, parameters_of, plan_upload
from carboy.errors import ConfigurationError, Missing, Throttled
from carboy.testing import Answer, LoopbackServer, ManualClock, json_answer


def test_every_fault_is_reported_at_once() -> None:
    """Names and values."""
    deep: dict[str, object] = {"leaf": 1}
    for _ in range(16):
        deep = {"x": deep}

    with pytest.raises(ConfigurationError) as caught:
        parameters_of(
            "/p", {"a b": 1, "": 1, "n" * 1_010: 1, "e": "", "deep": deep, "a": {"b": 1}, "a/b": 2, "_version": 3}
        )
    assert len(caught.value.faults) == 7


def test_what_is_not_text_becomes_json() -> None:
    """As the settings read it."""
    values: dict[str | int, object] = {"t": True, "f": 1.5, "n": None, "l": [1, "é"], "e": {}, 8080: "x"}

    assert parameters_of("/p", values) == {
        "/p/t": "true", "/p/f": "1.5", "/p/n": "null", "/p/l": '[1,"é"]', "/p/e": "{}", "/p/8080": "x",
    }  # fmt: skip


def test_a_plan_says_what_is_new_changed_same_and_gone() -> None:
    """The version stays out of it."""
    plan = plan_upload(
        {"/p/a": "1", "/p/b": "2", "/p/c": "3"}, {"/p/b": "2", "/p/c": "x", "/p/d": "y", "/p/_version": "z"}, prune=True
    )

    assert (plan.create, plan.change, plan.same, plan.delete) == ({"/p/a": "1"}, {"/p/c": "3"}, ["/p/b"], ["/p/d"])


def test_the_root_is_a_prefix() -> None:
    """And a last slash means nothing."""
    assert (check_prefix("/"), check_prefix("/a/")) == ("", "/a")


def error(kind: str) -> Answer:
    return json_answer({"__type": kind, "message": kind}, 400)


def make_store(server: LoopbackServer, clock: ManualClock) -> Store:
    import boto3

    class Session(boto3.Session):
        def client(self, service: str, **given: object) -> object:  # type: ignore[override]
            return super().client(service, endpoint_url=server.url, **given)  # type: ignore[call-overload]

    return Store(Session("testing", "testing", region_name="eu-west-1"), "/p", clock=clock)


def test_throttling_is_waited_out(loopback: LoopbackServer) -> None:
    """As long as it takes, within five minutes."""
    page = json_answer({"Parameters": [{"Name": "/p/a", "Value": "1"}]})
    first = json_answer({"Parameters": [], "NextToken": "t"})  # an empty page is not the end
    loopback.script(*[error("ThrottlingException")] * 6, first, error("ThrottlingException"), page)
    clock = ManualClock()

    assert make_store(loopback, clock).read() == {"/p/a": "1"}
    assert clock.waits


@pytest.mark.slow
def test_throttling_without_end_is_reported(loopback: LoopbackServer) -> None:
    """What to do: try again."""
    loopback.script(*[error("ThrottlingException")] * 60)

    with pytest.raises(Throttled, match="GetParametersByPath"):
        make_store(loopback, ManualClock()).read()


def test_what_is_not_there_is_reported_at_once(loopback: LoopbackServer) -> None:
    """No waiting for what will not come."""
    loopback.script(error("ParameterNotFound"))
    clock = ManualClock()

    with pytest.raises(Missing):
        make_store(loopback, clock).read()
    assert not clock.waits


@pytest.mark.parametrize("value", ["{{name}}", "a {{ssm:x}} b", "{{\n}}", ["{{x}}"]])
def test_what_parameter_store_takes_for_a_reference_is_refused_before_anything_is_written(value: object) -> None:
    """AWS refuses it in the middle of an upload."""
    with pytest.raises(ConfigurationError, match="another parameter"):
        parameters_of("/prod", {"a": value, "b": "fine"})
    assert parameters_of("/prod", {"a": "{x}} {{", "b": "{ {x} }"})
