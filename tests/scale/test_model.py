"""The model of how far machines go is right where theory or measurement knows better."""

import pytest
from benchmarks.model import Line, calibrate, erlang_wait_s, report, saturated, simulate


@pytest.mark.parametrize(("workers", "part"), [(1, 0.5), (4, 0.7), (8, 0.85)])
def test_the_simulation_is_what_erlang_says(workers: int, part: float) -> None:
    """Waits of a queue with exponential times, within a fifth."""
    service_s = 0.05
    arrivals_per_s = part * workers / service_s
    found = simulate(Line(arrivals_per_s, workers, service_s), seconds=1000)
    assert found.wait_s == pytest.approx(erlang_wait_s(arrivals_per_s, workers, service_s), rel=0.2)
    assert found.done_per_s == pytest.approx(arrivals_per_s, rel=0.05)
    assert found.busy == pytest.approx(part, rel=0.05)


def test_the_weakest_part_is_the_rate() -> None:
    """Whether workers, turns or the database: more arrives, no more is done, and the rest waits."""
    for line, rate in (
        (Line(500, 4, 0.02, variation=0.0), 200),
        (Line(500, 100, 0.02, limit_per_s=50), 50),
        (Line(500, 100, 0.02, taken_per_s=80), 80),
    ):
        found = simulate(line, seconds=200)
        assert found.done_per_s == pytest.approx(rate, rel=0.03)
        assert found.left == pytest.approx((500 - rate) * 200, rel=0.1)


def test_measured_points_are_met() -> None:
    """Those of a run on two cores; and what machines reach ends with what their database takes."""
    points = [(1, 900.0), (2, 1500.0), (4, 1700.0)]
    measured = [{"engine": "a", "workers": n, "accepted_per_s": r, "archived_per_s": r / 3} for n, r in points]
    lines = report({"points": measured, "database": {"accepted_per_s": 5000.0, "archived_per_s": 40_000.0}})
    told = [float(line.split()[-1]) for line in lines if line.startswith("a  ") and line.split()[1].endswith("ed")]
    assert len(told) == 6
    assert all(ratio == pytest.approx(1.0, abs=0.2) for ratio in told)
    machines = [line.split()[1:] for line in lines if line.startswith("a  ")][6:]
    assert machines == [["1", "900", "300"], ["10", "5,000", "3,000"], ["100", "5,000", "30,000"]]


def test_a_line_that_nothing_limits_goes_on_growing() -> None:
    """Calibrated by one worker; what more of them bring is the simulation's own finding."""
    line = calibrate([(1, 100.0), (2, 190.0), (4, 370.0)])
    assert saturated(line, 4) == pytest.approx(400, rel=0.1)
    limited = calibrate([(1, 100.0), (2, 180.0), (4, 200.0)])
    assert saturated(limited, 4) == pytest.approx(200, rel=0.1)
