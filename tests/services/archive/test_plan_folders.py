"""Which folders of the archive are listed for a range of time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.clock import from_unix_ms
from carboy.services.archive.listing import plan_folders

MINUTE_MS = 60_000
_FORMATS = ("%Y", "%Y/%m", "%Y/%m/%d", "%Y/%m/%d/%H", "%Y/%m/%d/%H/%M")


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_only_the_minutes_asked_for_are_listed() -> None:
    """Whole hours, days, months and years by one listing each."""
    assert list(plan_folders(_ms("2017-01-17T13:51:00"), _ms("2017-01-17T13:52:30"))) == [
        *("2017/01/17/13/51", "2017/01/17/13/52"),
    ]
    assert list(plan_folders(_ms("2016-12-31T22:59:10"), _ms("2019-02-02T01:00:00"))) == [
        *("2016/12/31/22/59", "2016/12/31/23", "2017", "2018", "2019/01", "2019/02/01", "2019/02/02/00"),
    ]
    assert list(plan_folders(5, 5)) == ["1970/01/01/00/00"]
    assert list(plan_folders(0, 0)) == []


@pytest.mark.slow
@given(st.integers(0, 4_000_000_000_000), st.integers(1, 4 * 366 * 24 * 60 * MINUTE_MS))
def test_each_minute_is_in_one_folder_and_no_other_is(start_ms: int, length_ms: int) -> None:
    """In order, and in few of them."""
    folders = list(plan_folders(start_ms, start_ms + length_ms))

    at = from_unix_ms(start_ms // MINUTE_MS * MINUTE_MS)
    for folder in folders:
        form = _FORMATS[folder.count("/")]
        assert folder == at.strftime(form)
        assert datetime.strptime(folder, form).replace(tzinfo=UTC) == at
        while at.strftime(form) == folder:
            at += timedelta(minutes=1) if form.endswith("M") else timedelta(hours=1)
    assert at - timedelta(minutes=1) < from_unix_ms(start_ms + length_ms) <= at
    assert len(folders) <= 2 * (59 + 23 + 30 + 11) + 4  # of each kind at both ends, and the years between
