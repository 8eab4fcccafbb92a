"""botocore's data in its short form, tried with botocore itself."""

import gzip
import json
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from carboy.bundle.aws_data import slim
from carboy.bundle.options import Chosen, Entry

DATA = Path(botocore.__file__).parent / "data"
SERVICES = ("s3", "sqs", "sts", "cloudwatch")


def slimmed(files: dict[str, bytes]) -> dict[str, bytes]:
    chosen: Chosen = [(data, Entry(path, len(data), "test", "botocore 1")) for path, data in files.items()]
    found = {}
    for data, entry in slim(chosen):
        assert isinstance(data, bytes)
        assert entry.size_bytes == len(data)
        found[entry.path] = data
    return found


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the short form of the data of some services."""
    files = {
        f"botocore/data/{path.relative_to(DATA).as_posix()}": path.read_bytes()
        for path in [*DATA.glob("*.json"), *(each for name in SERVICES for each in DATA.glob(f"{name}/*/*"))]
    }
    folder = tmp_path_factory.mktemp("short")
    for path, data in slimmed(files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder / "botocore" / "data"


def make_client(name: str, data: Path) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", Loader([str(data)], include_default_search_paths=False))
    return session.create_client(name, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")


@pytest.mark.slow
def test_a_client_knows_the_same_operations_and_their_shapes(short: Path) -> None:
    """Of a service whose endpoint has another name, too."""
    for name in SERVICES:
        ours, theirs = make_client(name, short), make_client(name, DATA)
        assert ours.meta.endpoint_url == theirs.meta.endpoint_url
        assert ours.waiter_names == theirs.waiter_names
        models = ours.meta.service_model, theirs.meta.service_model
        assert models[0].operation_names == models[1].operation_names
        for operation in models[0].operation_names:
            short_shape, full_shape = (model.operation_model(operation).input_shape for model in models)
            assert (short_shape and list(short_shape.members)) == (full_shape and list(full_shape.members))


@pytest.mark.slow
def test_a_client_signs_the_same_request(short: Path) -> None:
    ours, theirs = (
        make_client("s3", data).generate_presigned_post("bucket.of.mine", "key", ExpiresIn=60)["url"]
        for data in (short, DATA)
    )

    assert ours == theirs


@pytest.mark.slow
def test_the_endpoints_of_the_services_that_are_kept_are_the_same(short: Path) -> None:
    """In every region of every partition; those of the others are gone."""
    ours, theirs = (EndpointResolver(json.loads((folder / "endpoints.json").read_bytes())) for folder in (short, DATA))
    regions = [
        region for name in theirs.get_available_partitions() for region in theirs.get_available_endpoints("s3", name)
    ]

    assert len(regions) > 20
    assert ours.get_available_partitions() == theirs.get_available_partitions()
    for service in ("s3", "s3-control", "sqs", "sts", "monitoring"):
        assert [ours.construct_endpoint(service, region) for region in regions] == [
            theirs.construct_endpoint(service, region) for region in regions
        ]
    assert not ours.get_available_endpoints("ec2")


def test_a_member_that_is_called_documentation_stays() -> None:
    """A text of that name is documentation, anything else is part of the service."""
    model = {
        "metadata": {"endpointPrefix": "x"},
        "documentation": "Text.",
        "shapes": {"S": {"members": {"documentation": {"shape": "String", "documentation": "Text."}}}},
    }
    packed = gzip.compress(json.dumps(model).encode())

    ((path, data),) = slimmed({"python/botocore/data/x/2020/service-2.json.gz": packed}).items()

    assert path == "python/botocore/data/x/2020/service-2.json"
    assert json.loads(data) == {
        "metadata": {"endpointPrefix": "x"},
        "shapes": {"S": {"members": {"documentation": {"shape": "String"}}}},
    }


def test_what_is_in_another_form_stays_as_it_is() -> None:
    files = {
        "botocore/data/endpoints.json": b"[]",
        "botocore/data/x/2020/service-2.json.gz": b"\x1f\x8bbroken",
        "botocore/data/x/2020/notes.txt": b"{ }",
        "botocore/auth.py": b"import this",
        "mine/data/x/2020/service-2.json": b'{"documentation": "mine"}',
    }

    assert slimmed(files) == files
