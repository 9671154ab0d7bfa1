"""Speeds of accelerators, and answers that nothing beats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.planning.pareto import pareto
from skynb.planning.speeds import scaled_hours, tflops
from skynb_catalog import UnknownAcceleratorError
from skynb_catalog.accelerators import names


def test_every_accelerator_has_a_word_on_its_speed():
    """A number above 0, or None for not known; never an error for a name of the vocabulary."""
    known = {name: tflops(name) for name in names()}
    assert all(speed is None or speed > 0 for speed in known.values())
    assert sum(speed is not None for speed in known.values()) >= 50


def test_hours_scale_by_speed():
    """Half the speed, twice the time; an unknown speed is no answer, a slice counts as a whole."""
    assert scaled_hours(10, "V100", "A10") == 10
    assert scaled_hours(10, "h100_sxm", "A100") == pytest.approx(10 * 989.4 / 312)
    assert scaled_hours(10, "tpu-v6e-8", "tpu-v6e-16") == 5
    assert scaled_hours(10, "A100", "K80") is None
    with pytest.raises(UnknownAcceleratorError):
        scaled_hours(1, "A1000000", "A100")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_what_is_kept_is_beaten_by_nothing_and_beats_the_rest(points):
    """Each point left out has one kept that is as low everywhere; no kept one has another such."""
    kept = pareto(points)
    front = [points[one] for one in kept]
    assert front == sorted(set(front))
    for number, point in enumerate(points):
        beaten = [one for one in front if all(a <= b for a, b in zip(one, point, strict=True))]
        assert beaten == [point] if number in kept else beaten
        assert points.index(point) in kept or point not in front
