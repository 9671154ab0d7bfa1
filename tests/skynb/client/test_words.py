"""Times and money as words."""

import pytest

from skynb.client.words import ago, clock, dollars, hourly, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (5 * 86400, "5 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds, words):
    """One number and one unit."""
    assert span(seconds) == words


def test_ago_survives_clocks_that_differ():
    """A moment in the future, by a server's clock, is now; never is a dash."""
    assert ago(105.0, 100.0) == "just now"
    assert ago(None, 100.0) == "-"
    assert ago(100.0, 220.0) == "2 min ago"


def test_money_shows_cents_of_an_hour():
    """Four decimals, thousands apart."""
    assert hourly(41_600) == "$0.0416/h"
    assert dollars(1_234_567_890) == "$1,234.5679"


def test_a_running_time_reads_like_a_clock():
    """Minutes and seconds, hours when there are any."""
    assert [clock(7), clock(750), clock(3723)] == ["0:07", "12:30", "1:02:03"]
