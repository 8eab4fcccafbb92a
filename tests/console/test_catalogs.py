"""Every text of the console is translated, and the compiled catalogs are those of the sources."""

import re
from gettext import GNUTranslations
from pathlib import Path
from typing import get_args

import pytest
from tests.console.catalogs import ROOTS, extract, load, po_path

from carboy.circuit_breaker import Phase
from carboy.services.archive.destinations.store import STATES as DELIVERY_STATES
from carboy.services.archive.refusals import REASONS
from carboy.services.sms.providers.wire import Kind
from carboy.services.sms.states import STATES as SMS_STATES
from carboy.web.console.pages.jobs import STATES as JOB_STATES

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


def _stored_states() -> set[str]:
    """Return every state, reason and result that the services store or report."""
    results = get_args(Kind)
    events = {"accepted", "copied", "archived"}
    destinations = {"active", "paused", "failing"}
    return {*SMS_STATES, *DELIVERY_STATES, *JOB_STATES, *REASONS, *results, *events, *destinations, *get_args(Phase)}


def test_every_state_that_is_stored_has_a_word_in_both_languages() -> None:
    texts = {one.id: one.string for root in ALL for one in load(root) if one.id}

    assert {state for state in _stored_states() if not texts.get(state)} == set()
