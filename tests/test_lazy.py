"""Names that are loaded when they are first asked for."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from carboy.errors import MissingExtra
from carboy.lazy import lazy_names

PACKAGES = [
    "carboy",
    *(f"carboy.{part}" for part in ("db", "fleece", "jobs", "logs", "net", "serve", "testing", "trace", "web")),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_had_and_no_other(package: str) -> None:
    """None of them was forgotten in the table of homes."""
    module = import_module(package)

    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        getattr(module, "nothing")  # noqa: B009


def test_a_name_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is the package's own; nothing is loaded before."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "parcel").mkdir()
    (tmp_path / "parcel" / "inner.py").write_text("thing = object()")
    (tmp_path / "parcel" / "__init__.py").write_text(
        "from carboy.lazy import lazy_names\n__getattr__ = lazy_names(__name__, {'.inner': ['thing']})"
    )
    parcel = import_module("parcel")

    assert "parcel.inner" not in sys.modules
    assert parcel.thing is vars(parcel)["thing"] is sys.modules["parcel.inner"].thing
    monkeypatch.delitem(sys.modules, "parcel")
    monkeypatch.delitem(sys.modules, "parcel.inner")


def test_what_needs_a_part_that_is_not_installed_says_which() -> None:
    """The command that installs it."""
    find = lazy_names(__name__, {"not_installed_anywhere": ["thing"]}, part="db")

    with pytest.raises(MissingExtra, match="not_installed_anywhere") as refused:
        find("thing")

    assert refused.value.hint == "pip install 'carboy[db]'"
