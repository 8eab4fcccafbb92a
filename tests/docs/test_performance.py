"""The page of figures is made from the kept results, and a comparison names what changed."""

from benchmarks import results
from benchmarks.__main__ import purposes


def _result(*output: str) -> dict[str, object]:
    return {"benchmark": "loop", "output": list(output)}


def test_the_page_is_what_the_kept_results_make() -> None:
    """No figure is edited by hand."""
    page = results.PAGE.read_text("utf-8")

    assert page == results.render_page(results.read(), purposes()), "run `python -m benchmarks --page`"


def test_a_figure_that_changed_by_a_tenth_is_named_with_its_ratio() -> None:
    """By row and place; sentences and rows that are new say nothing."""
    before = _result("a sentence of 3 words", "ours      100 µs   1,000", "theirs    500 µs")
    now = _result("a sentence of 9 words", "ours      104 µs   2,000", "theirs    250 µs", "new    1")

    assert results.compare(before, now) == [
        "loop: ours [2]: 1000 -> 2000, 2.00 times",
        "loop: theirs [1]: 500 -> 250, 0.50 times",
    ]


def test_equal_results_have_no_changes() -> None:
    """The same figures twice."""
    result = _result("ours      100 µs")

    assert results.compare(result, result) == []
