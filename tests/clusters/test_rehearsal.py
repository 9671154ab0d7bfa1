"""Rehearsals: the same plan, nothing rented, real processes."""

from __future__ import annotations

import pytest

from skynb.errors import SpecError
from skynb.planning import plan
from skynb.spec import Task
from skynb.wire import ChargeInfo
from skynb_clusters.records import Offer
from skynb_clusters.rehearsal import NOTE, as_simulated, played_by, rehearsed
from tests.support.site import site, until


def task(**resources) -> Task:
    return Task(run="true", resources=resources)


def test_the_plan_is_that_of_the_real_clouds():
    """Machine by machine the same choice and price; only the cloud is `sim`, and nothing leads out of it."""
    meant = plan(task(infra="aws/us-east-1", accelerators="A10G:1"))
    asked = rehearsed(task(infra="sim/aws/us-east-1", accelerators="A10G:1"))
    played = as_simulated(plan(asked))
    machines = [played.choice, *played.alternatives]
    real = [meant.choice, *meant.alternatives]
    assert [(one.instance_type, one.hourly_micro) for one in machines] == [
        (one.instance_type, one.hourly_micro) for one in real
    ]
    assert [one.infra for one in machines] == [f"sim/{one.infra}" for one in real]
    assert list(played.ladder()) == machines
    assert NOTE in str(played)


@pytest.mark.parametrize(
    ("infra", "meant"),
    [
        ("sim", None),
        ("sim/*", None),
        ("sim/aws", "aws"),
        ("sim/aws/us-east-1/use1-az1", "aws/us-east-1/use1-az1"),
    ],
)
def test_the_prefix_is_taken_off(infra, meant):
    """`sim` alone is any cloud."""
    found = rehearsed(task(infra=infra))
    assert found is not None
    assert found.to_wire()[0].get("resources", {}).get("infra") == meant


def test_alternatives_are_rehearsed_all_or_none():
    """One simulated alternative beside a real one is refused: it might rent."""
    both = task(any_of=[{"infra": "sim/aws"}, {"infra": "sim/gcp"}])
    assert [item["infra"] for item in rehearsed(both).to_wire()[0]["resources"]["any_of"]] == ["aws", "gcp"]
    with pytest.raises(SpecError, match="some alternatives are simulated"):
        rehearsed(task(any_of=[{"infra": "sim/aws"}, {"infra": "gcp"}]))


def test_the_variable_rehearses_everything_but_this_machine(monkeypatch):
    """SKYNB_REHEARSE=1: whatever would rent is played; `local` rents nothing and stays."""
    assert rehearsed(task(infra="aws")) is None
    monkeypatch.setenv("SKYNB_REHEARSE", "1")
    assert rehearsed(task(infra="aws")) is not None
    assert rehearsed(task()) is not None
    assert rehearsed(task(infra="local")) is None


def test_an_offer_knows_what_it_plays():
    """`sim` with the region `aws/us-east-1` plays aws in us-east-1."""
    offer = Offer(cloud="sim", region="aws/us-east-1", zone="z", instance_type="g5.xlarge")
    played = played_by(offer)
    assert (played.cloud, played.region, played.zone) == ("aws", "us-east-1", "z")
    assert played_by(played) == played


@pytest.mark.timeout(120)
def test_a_rehearsal_runs_for_nothing_and_bills_like_the_real_one():
    """Two nodes of a simulated GPU machine run the job; the ledger's prices say `sim`; nothing is left."""
    with site() as here:
        resources = {"infra": "sim/aws/us-east-1", "accelerators": "A10G:1"}
        job = here.launch("r", num_nodes=2, resources=resources, run="echo rank $SKYNB_NODE_RANK").job
        until(lambda: here.job("r", job).final, 60)
        assert here.job("r", job).status == "SUCCEEDED"
        assert sorted(here.log("r", job).split("\n")) == ["", "rank 0", "rank 1"]
        seen = here.cluster("r")
        assert seen.infra.startswith("sim/aws/us-east-1")
        assert seen.hourly_micro > 1_000_000
        here.down("r")
        until(lambda: here.cluster("r").final, 60)
        bill = here.http.call("GET", "/clusters/r/cost", list[ChargeInfo])
        assert sum(line.micro for line in bill) == here.cluster("r").settled_micro > 0
        assert {line.node for line in bill} == {"0", "1"}
        assert all(line.settled and line.source and line.as_of and line.hourly_micro for line in bill)
        assert all(line.infra.startswith("sim/aws/us-east-1") for line in bill)
        assert list((here.home / "sim" / "nodes").glob("local-*")) == []
