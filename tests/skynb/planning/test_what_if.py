"""The same work on other machines: what it costs, how long it takes, how surely it ends."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

import pytest

from skynb.errors import NoOfferError, SpecError
from skynb.planning.what_if import what_if

NOW = date(2026, 1, 2)


@pytest.fixture
def world(catalog_of, say):
    """A100:8 at 16 $/h, spot 4; H100:8 at 64; T4:8 at 1 $/h, which has too little memory; a TPU."""
    kinds = [("A100", 8.0, 16, 4), ("H100", 8.0, 64, None), ("T4", 8.0, 1, None), ("tpu-v6e-8", 1.0, 2, None)]
    return catalog_of(
        [
            say.fact(
                instance_type=name.lower(),
                accelerator=name,
                accelerator_count=count,
                hourly_micro=price * 1_000_000,
                spot_hourly_micro=spot and spot * 1_000_000,
                spot_as_of="2026-01-01",
            )
            for name, count, price, spot in kinds
        ]
    )


def asked(say, world, **options):
    return what_if(say.task(say.gpu("A100", 8)), catalog=world, now=NOW, **options)


def named(found):
    return [(one.machine.instance_type, one.machine.spot) for one in found.prospects]


def test_what_the_same_maker_makes_with_enough_memory(say, world):
    """No T4 (128 GiB of 320), no TPU; the H100 is faster in proportion to its peak, 989 to 312 TFLOPS."""
    found = asked(say, world, hours=10, preemptions_per_hour=0)
    assert named(found) == [("h100", False), ("a100", True), ("a100", False)]
    h100, spot, a100 = found.prospects
    assert h100.hours == pytest.approx(10 * 312 / 989, rel=0.01)
    assert h100.mean_micro == pytest.approx(h100.hours * 64_000_000, rel=1e-6)
    assert (spot.mean_micro, a100.mean_micro) == (40_000_000, 160_000_000)
    assert [one.best for one in found.prospects] == [True, True, False]


def test_what_is_said_of_a_machine_goes_over_its_peak(say, world):
    """Hours by accelerator, as for a plan."""
    found = asked(say, world, hours={"A100:8": 10, "H100": 9}, preemptions_per_hour=0)
    assert {one.machine.instance_type: one.hours for one in found.prospects} == {"h100": 9, "a100": 10}
    assert found.prospects[0].estimate == "said"


def test_preemptions_cost_time_money_and_certainty(say, world):
    """The same spot machine: with preemptions later and dearer; with none of them kept, the worst."""
    calm, rough, lost = (
        next(
            one
            for one in asked(say, world, hours=10, deadline_hours=11, **options).prospects
            if one.machine.spot
        )
        for options in (
            {"preemptions_per_hour": 0},
            {"preemptions_per_hour": 0.2},
            {"preemptions_per_hour": 0.2, "checkpoint_minutes": None},
        )
    )
    assert calm.chance == 1
    assert calm.mean_micro < rough.mean_micro < lost.mean_micro
    assert calm.p90_hours < rough.p90_hours < lost.p90_hours
    assert calm.chance > rough.chance > lost.chance


def test_on_demand_machines_are_not_taken_away(say, world):
    """Whatever the rate."""
    found = asked(say, world, hours=10, preemptions_per_hour=5, deadline_hours=10)
    assert all(
        one.chance == 1 and one.p90_hours == one.hours for one in found.prospects if not one.machine.spot
    )


def test_the_same_question_has_the_same_answer(say, world):
    """Another seed need not."""
    first = asked(say, world, hours=50, seed=1)
    assert first == asked(say, world, hours=50, seed=1)
    assert first != asked(say, world, hours=50, seed=2)


def test_it_says_what_it_assumed_and_shows_a_picture(say, world):
    """In text, in HTML with an SVG that parses, and in plain types."""
    found = asked(say, world, hours=10, deadline_hours=12)
    for part in ("10 h of work on A100:8", "TFLOPS", "taken away 0.05 times an hour", "done in 12 h"):
        assert part in str(found)
    page = found._repr_mimebundle_()["text/html"]
    assert "<svg" in page
    svg = str(found.plot())
    circles = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == len(found.prospects)
    assert len(found.to_dict()["prospects"]) == len(found.prospects)


def test_a_task_without_accelerators_compares_its_own_machines(say, shipped):
    """On demand against spot."""
    found = what_if(say.task(say.Item(infra=say.at("gcp"))), catalog=shipped, hours=2)
    assert {one.machine.spot for one in found.prospects} == {True, False}
    assert len(found.prospects) == 2


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"hours": 0}, SpecError, "hours"),
        ({"hours": {"H1000": 1}}, SpecError, "H1000"),
        ({"deadline_hours": 0}, SpecError, "deadline_hours"),
        ({"preemptions_per_hour": -1}, SpecError, "preemptions_per_hour"),
        ({"checkpoint_minutes": 0}, SpecError, "checkpoint_minutes"),
        ({"trials": 0}, SpecError, "trials"),
        ({"clouds": ["gcp"]}, NoOfferError, "no machine can be compared"),
    ],
)
def test_what_cannot_be_is_refused(say, world, options, error, said):
    """By name."""
    with pytest.raises(error, match=said):
        asked(say, world, **options)
