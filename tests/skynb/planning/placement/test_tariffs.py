"""What moving data costs: public tiers, each GB at its own price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.planning.placement import Rate, Tariff
from skynb.planning.placement.tariffs import LIST_PRICES

TARIFF = Tariff()
AMOUNTS = st.floats(0, 1e6)
CLOUDS = st.sampled_from([*LIST_PRICES, "lambda", "nobody"])


@pytest.mark.parametrize(
    ("source", "target", "gigabytes", "dollars"),
    [
        (("aws", "us-east-1"), ("aws", "us-east-1"), 1000, 0),
        (("aws", "us-east-1"), ("aws", "us-west-2"), 1000, 20),
        (("aws", "us-east-1"), ("gcp", "us-central1"), 100, 9),
        (("aws", ""), ("gcp", ""), 15_360, 10_240 * 0.09 + 5_120 * 0.085),
        (("aws", ""), ("gcp", ""), 200_000, 10_240 * 0.09 + 40_960 * 0.085 + 102_400 * 0.07 + 46_400 * 0.05),
        (("azure", ""), ("aws", ""), 100, 8.7),
        (("gcp", ""), ("aws", ""), 2_048, 1_024 * 0.12 + 1_024 * 0.11),
        (("oci", ""), ("aws", ""), 10_240, 0),
        (("oci", ""), ("aws", ""), 11_240, 8.5),
        (("ibm", ""), ("aws", ""), 1, 0.09),
        (("lambda", ""), ("aws", ""), 1_000, 0),
        (("sim/aws", ""), ("sim/gcp", ""), 100, 9),
        (("nobody", ""), ("aws", ""), 100, 9),
    ],
)
def test_list_prices(source, target, gigabytes, dollars):
    """The public price lists, by cloud, tier and distance."""
    assert TARIFF.micro(source, target, gigabytes) == round(dollars * 1e6)


@given(cloud=CLOUDS, one=AMOUNTS, other=AMOUNTS)
def test_more_data_never_costs_less(cloud, one, other):
    """Money and time rise with the amount, and staying in the cloud is never dearer than leaving it."""
    less, more = sorted([one, other])
    for target in ((cloud, "b"), ("elsewhere", "")):
        assert TARIFF.micro((cloud, "a"), target, less) <= TARIFF.micro((cloud, "a"), target, more)
        assert TARIFF.seconds((cloud, "a"), target, less) <= TARIFF.seconds((cloud, "a"), target, more)
    assert TARIFF.micro((cloud, "a"), (cloud, "b"), more) <= TARIFF.micro(
        (cloud, "a"), ("elsewhere", ""), more
    )


@given(cloud=st.sampled_from(sorted(LIST_PRICES)), one=st.integers(0, 300_000), other=st.integers(0, 300_000))
def test_tiers_add_up(cloud, one, other):
    """Between two amounts lies the price of each GB between them, in its own tier."""
    less, more = sorted([one, other])
    tiers = LIST_PRICES[cloud].internet
    ends = [start for start, _ in tiers[1:]] + [float("inf")]
    between = sum(
        max(0, min(more, end) - max(less, start)) * price
        for (start, price), end in zip(tiers, ends, strict=True)
    )
    rate = LIST_PRICES[cloud]
    assert rate.internet_micro(more) - rate.internet_micro(less) == between


def test_ten_gigabits_a_second():
    """10 GB take 8 s between any two places, none within one, and the speed can be set."""
    assert TARIFF.seconds(("aws", "a"), ("aws", "b"), 10) == 8
    assert TARIFF.seconds(("aws", "a"), ("aws", "a"), 10) == 0
    assert TARIFF._replace(gigabits_per_second=1.0).seconds(("aws", "a"), ("gcp", ""), 10) == 80


@pytest.mark.parametrize(
    ("internet", "between"), [(((0, 5),), 6), (((10, 5),), 0), (((0, 5), (20, 4), (10, 3)), 0), ((), 0)]
)
def test_prices_that_the_search_cannot_rely_on_are_refused(internet, between):
    """Tiers rise from 0, and a region is not dearer to reach than another cloud."""
    with pytest.raises(ValueError, match=r"tiers|regions"):
        Rate(internet, between)
