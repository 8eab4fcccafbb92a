"""Charts as SVG, drawn on the server; the template puts their numbers into a table beside them."""

from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _GAP = 240, 44, 2


def bars(values: Sequence[int | None], label: str, *, is_bad: bool = False) -> Markup:
    """Return a bar chart; a value that is not known yet is a thin line.

    Args:
        values: from the left to the right.
        label: what a screen reader says of it.
        is_bad: whether what is counted needs attention.
    """
    if not values:
        return Markup("")
    step = _WIDTH / len(values)
    top = max([one or 0 for one in values] + [1])
    parts = []
    for place, value in enumerate(values):
        height = max(1.5, (value or 0) / top * (_HEIGHT - 4))
        kind = "bar" if value else "bar none"
        parts.append(
            f'<rect class="{kind}" x="{place * step:.1f}" y="{_HEIGHT - height:.1f}" '
            f'width="{step - _GAP:.1f}" height="{height:.1f}" rx="1"/>'
        )
    kind = "chart bad" if is_bad else "chart"
    head = (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">'
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 (numbers, and a label that is escaped)
