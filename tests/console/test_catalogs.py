"""Every text of the console is translated, and the compiled catalogs are those of the sources."""

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from tests.console.catalogs import ROOTS, extract, load, po_path

ALL = [root for roots in ROOTS.values() for root in roots if root.is_dir()]


@pytest.mark.parametrize("root", ALL, ids=lambda root: root.parts[-2])
def test_no_text_is_without_a_translation(root: Path) -> None:
    """Nor is one translated that is not there any more."""
    catalog = {one.id: one.string for one in load(root) if one.id}

    assert catalog.keys() == extract(root)
    assert all(catalog.values())
    for text, translated in catalog.items():
        assert sorted(re.findall(r"%\(\w+\)s", str(text))) == sorted(re.findall(r"%\(\w+\)s", str(translated)))
    with po_path(root).with_suffix(".mo").open("rb") as file:
        binary = {text: found for text, found in vars(GNUTranslations(file))["_catalog"].items() if text}
    assert binary == catalog
