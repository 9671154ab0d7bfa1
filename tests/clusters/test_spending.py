"""What each day cost: nothing is lost or counted twice, whatever days a settlement lies in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.errors import SpecError
from skynb_clusters.spending import DAY_S, Piece, by_day, spent_by_day

FIRST = 20_000 * DAY_S
moments = st.integers(FIRST - 3 * DAY_S, FIRST + 8 * DAY_S)
pieces = st.builds(
    lambda begin, lasts, micro, cloud: Piece(begin, begin + lasts, micro, cloud),
    moments,
    st.integers(0, 4 * DAY_S),
    st.integers(0, 10**12),
    st.sampled_from(["aws", "gcp"]),
)


@given(st.lists(pieces))
def test_shares_are_whole(found):
    """Over days enough for all, the days' sum is the pieces' sum, and a day is the sum of its clouds."""
    days = by_day(found, FIRST - 4 * DAY_S, 20)
    assert sum(day.micro for day in days) == sum(one.micro for one in found)
    assert all(day.micro == sum(day.clouds.values()) for day in days)


@given(pieces)
def test_a_day_has_its_share_of_the_time(piece):
    """To the micro-dollar, in proportion to the seconds that lie in it; what lies before counts nowhere."""
    for number, day in enumerate(by_day([piece], FIRST, 5)):
        begin, end = FIRST + number * DAY_S, FIRST + (number + 1) * DAY_S
        inside = max(0.0, min(end, piece.end) - max(begin, piece.begin))
        whole = piece.end - piece.begin
        if whole:
            assert abs(day.micro - piece.micro * inside / whole) <= 1


def test_days_are_named_and_bounded():
    """UTC dates, today last; an impossible number is refused before anything is read."""
    assert [day.day for day in by_day([], 0, 2)] == ["1970-01-01", "1970-01-02"]
    for days in (0, -1, 367):
        with pytest.raises(SpecError, match="days is 1 to 366"):
            spent_by_day(None, 0.0, days)
