"""The user's own prices change plans, and the plans say so."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from skynb.errors import SpecError
from skynb.planning import plan
from skynb.planning.terms import own_terms
from skynb.planning.terms_file import read_terms

NOW = date(2026, 1, 2)


@pytest.fixture
def world(catalog_of, say):
    h100 = {"accelerator": "H100", "accelerator_count": 8.0}
    return catalog_of(
        [
            say.fact(instance_type="p5", zone="az1", hourly_micro=40_000_000, **h100),
            say.fact(instance_type="p5", zone="az2", hourly_micro=40_000_000, **h100),
            say.fact(cloud="gcp", region="central", instance_type="a3", hourly_micro=50_000_000, **h100),
            say.fact(cloud="gcp", region="north", instance_type="a3", hourly_micro=60_000_000, **h100),
        ]
    )


@pytest.fixture
def terms(tmp_path):
    def write(text):
        (tmp_path / "offers.yaml").write_text(text)
        return read_terms(str(tmp_path / "offers.yaml"))

    return write


def planned(say, world, terms, nodes=1, **changes):
    return plan(say.task(say.gpu("H100", 8, **changes), num_nodes=nodes), catalog=world, terms=terms, now=NOW)


def test_a_reservation_comes_first(world, say, terms):
    """Two nodes are held and paid for in one zone: they cost nothing more, and the plan says why."""
    where = "infra: aws/us-east-1/az2, instance_type: p5"
    own = terms(f"reservations:\n- {{name: cr-7, {where}, nodes: 2, until: 2026-06-01}}")
    found = planned(say, world, own, nodes=2)
    assert (found.choice.infra, found.hourly_micro, found.cost_micro) == ("aws/us-east-1/az2", 0, 0)
    assert found.choice.on_demand_micro == 40_000_000
    assert found.choice.terms == "reservation cr-7, 2 of 2 nodes"
    assert "reservation cr-7" in str(found)
    assert found.alternatives[0].infra == "aws/us-east-1/az1"


def test_nodes_beyond_a_reservation_cost_what_they_cost(world, say, terms):
    """Three nodes of which two are held: 40 $/h in all, still less than 3 x 40 elsewhere."""
    own = terms("reservations: [{name: r, infra: aws/us-east-1/az2, instance_type: p5, nodes: 2}]")
    found = planned(say, world, own, nodes=3)
    assert found.choice.infra == "aws/us-east-1/az2"
    assert 40_000_000 <= found.hourly_micro <= 40_000_002


def test_a_reservation_that_is_over_holds_nothing(world, say, terms):
    """Nor is it for spot."""
    own = terms("reservations: [{name: r, infra: aws, instance_type: p5, until: 2026-01-01}]")
    assert planned(say, world, own).choice.terms == ""


def test_a_discount_makes_the_dearer_cheaper(world, say, terms):
    """30 % off a3: 35 $/h in central, 42 in north, with p5 at 40 between them."""
    own = terms("discounts: [{name: commit, infra: gcp, instance_type: 'a*', percent: 30}]")
    found = planned(say, world, own)
    prices = [(one.infra, one.hourly_micro, one.terms) for one in (found.choice, *found.alternatives)]
    assert prices == [
        ("gcp/central", 35_000_000, "30 % off: commit"),
        ("aws/us-east-1/az1", 40_000_000, ""),
        ("aws/us-east-1/az2", 40_000_000, ""),
        ("gcp/north", 42_000_000, "30 % off: commit"),
    ]
    assert found.tasks[0].more == 0


def test_max_hourly_cost_is_about_what_is_paid(world, say, terms):
    """36 $/h admits the discounted machine and no other."""
    own = terms("discounts: [{name: commit, accelerator: h100, infra: gcp, percent: 30}]")
    found = planned(say, world, own, max_hourly_cost=36)
    assert ([found.choice.infra], found.alternatives, found.tasks[0].more) == (["gcp/central"], (), 0)


def test_a_negotiated_price_replaces_the_listed_one(world, say, terms):
    """Dollars an hour for all that the rule is about."""
    own = terms("discounts: [{name: deal, accelerator: H100, infra: gcp, hourly_cost: 10.5}]")
    found = planned(say, world, own)
    assert [one.hourly_micro for one in (found.choice, *found.alternatives)][:2] == [10_500_000, 10_500_000]
    assert found.choice.terms == "own price: deal"


def test_an_own_machine_competes(world, say, terms):
    """One that no catalog knows, on infra that may be enabled or not."""
    own = terms(
        "offers:\n- {infra: lab/berlin, instance_type: dgx, accelerators: 'H100:8', cpus: 100, memory: 1000,"
        " hourly_cost: 12}"
    )
    assert planned(say, world, own).choice.infra == "lab/berlin"
    task = say.task(say.gpu("H100", 8))
    assert plan(task, catalog=world, terms=own, clouds=["aws"], now=NOW).choice.cloud == "aws"


def test_the_file_of_the_home_is_read_anew_when_it_changes(world, say, tmp_path, monkeypatch):
    """No file: no terms. A plan made after an edit has the edit."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path))
    assert planned(say, world, None).choice.terms == ""
    file = tmp_path / "offers.yaml"
    file.write_text("discounts: [{name: a, infra: gcp, percent: 50}]")
    assert planned(say, world, None).choice.terms == "50 % off: a"
    file.write_text("discounts: [{name: longer, infra: gcp, percent: 60}]")
    assert planned(say, world, None).choice.terms == "60 % off: longer"
    assert own_terms().rules[0].percent == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reservations: [{name: r, infra: aws}]", "instance_type"),
        ("reservations: [{name: r, infra: '*', instance_type: p5}]", "cloud"),
        ("discounts: [{name: d, infra: aws}]", "percent"),
        ("discounts: [{name: d, percent: 10, hourly_cost: 1, instance_type: x}]", "either"),
        ("discounts: [{name: d, percent: 101}]", "100 %"),
        ("discounts: [{name: d, hourly_cost: 1}]", "every kind"),
        ("discounts: [{name: d, percent: 5, accelerator: H1000}]", "H1000"),
        ("discounts: [{name: d, percent: 5, until: soon}]", "date"),
        ("offers: [{infra: lab, instance_type: x}]", "cpus"),
        ("discount: []", "discounts"),
        ("[1]", "mapping"),
        ("a: 1\n---\nb: 2", "one document"),
        ("discounts: [", "YAML"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_field(terms, text, said):
    """One message, before anything is planned with half of it."""
    with pytest.raises(SpecError, match=said) as raised:
        terms(text)
    assert "offers.yaml" in str(raised.value)


def test_the_documented_file_is_a_valid_one(terms):
    """The example of the reference, whole."""
    page = (Path(__file__).parents[3] / "docs/reference/offers-file.md").read_text()
    own = terms(page.partition("```yaml\n")[2].partition("```")[0])
    assert [rule.name for rule in own.rules] == ["cr-0a1b", "committed use", "negotiated"]
    assert [offer.instance_type for offer in own.offers] == ["dgx-7"]
