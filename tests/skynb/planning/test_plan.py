from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timezone
from types import SimpleNamespace

import msgspec
import pytest

from skynb.errors import NoOfferError, SkynbError, SpecError
from skynb.planning import Plan, gpus, plan
from tests.support.processes import printed_by_any_hash

NOW = date(2026, 1, 20)


@pytest.fixture
def small(catalog_of, say):
    """Two clouds, H100 in several counts, CPU machines of two sizes."""
    h100 = {"accelerator": "H100", "accelerator_memory_gib": 80.0}
    return catalog_of(
        [
            say.fact(instance_type="p5", accelerator_count=8.0, hourly_micro=40_000_000, zone="az1", **h100),
            say.fact(instance_type="p5", accelerator_count=8.0, hourly_micro=40_000_000, zone="az2", **h100),
            say.fact(
                cloud="gcp",
                region="central",
                instance_type="a3",
                accelerator_count=8.0,
                hourly_micro=50_000_000,
                spot_hourly_micro=9_000_000,
                spot_as_of="2026-01-10",
                **h100,
            ),
            say.fact(
                cloud="vast",
                region="US",
                instance_type="one",
                accelerator_count=1.0,
                hourly_micro=2_000_000,
                **h100,
            ),
            say.fact(instance_type="small", vcpus=2.0, memory_gib=8.0, hourly_micro=100_000),
            say.fact(instance_type="thin", vcpus=8.0, memory_gib=16.0, hourly_micro=200_000),
            say.fact(instance_type="large", vcpus=8.0, memory_gib=32.0, hourly_micro=400_000),
        ]
    )


def types(found: Plan) -> list[str]:
    return [one.instance_type for one in (found.choice, *found.alternatives)]


def test_the_cheapest_wins_and_the_others_are_listed(small, say):
    """H100:8 over all clouds: AWS, its other zone, then GCP; the price is for all nodes."""
    found = plan(say.task(say.gpu("h100", 8), num_nodes=3), catalog=small, now=NOW)
    assert [one.infra for one in (found.choice, *found.alternatives)] == [
        "aws/us-east-1/az1",
        "aws/us-east-1/az2",
        "gcp/central",
    ]
    assert found.choice.hourly_micro == 40_000_000
    assert found.hourly_micro == 120_000_000
    assert (found.tasks[0].num_nodes, found.tasks[0].more, found.name) == (3, 0, "train")


def test_only_enabled_clouds_are_candidates(small, say):
    """`clouds` names those that may be used, in any case; nothing else is chosen."""
    found = plan(say.task(say.gpu("H100", 8)), clouds=["GCP"], catalog=small, now=NOW)
    assert types(found) == ["a3"]
    with pytest.raises(NoOfferError, match=r"gcp is not enabled.*aws"):
        plan(say.task(say.gpu("H100", 8, "gcp")), clouds=["aws"], catalog=small)


def test_nothing_asked_means_eight_vcpus_with_four_gib_each(small, say):
    """SkyPilot's default size: not the two vCPUs, not the eight with half the memory."""
    assert types(plan(say.task(), catalog=small, now=NOW)) == ["large"]


def test_what_is_asked_replaces_the_default(small, say):
    """A cpus or memory of the task's own stands alone."""
    eight = say.Item(cpus=say.Quantity(8))
    assert types(plan(say.task(eight), catalog=small, now=NOW)) == ["thin", "large"]
    little = say.Item(memory=say.Quantity(8))
    assert types(plan(say.task(little), catalog=small, now=NOW)) == ["small"]
    ratio = say.Item(memory=say.Quantity(4, at_least=True, per_cpu=True))
    assert types(plan(say.task(ratio), catalog=small, now=NOW)) == ["small", "large"]
    named = say.Item(instance_type="small")
    assert types(plan(say.task(named), catalog=small, now=NOW)) == ["small"]


def test_spot_takes_only_spot_prices_and_ranks_by_them(small, say):
    """use_spot: GCP alone has a spot price; its date counts for the age."""
    found = plan(say.task(say.gpu("H100", 8, use_spot=True)), catalog=small, now=NOW)
    assert types(found) == ["a3"]
    assert (found.choice.hourly_micro, found.choice.on_demand_micro) == (9_000_000, 50_000_000)
    assert found.choice.as_of == "2026-01-10"
    assert found.age_days(found.choice) == 10
    assert "10 days old" in found.tasks[0].stale[0]
    assert [(one.cloud, one.reason) for one in found.tasks[0].rejected] == [
        ("vast", "has H100 in counts 1 only"),
        ("aws", "no spot price known"),
    ]


def test_max_hourly_cost_is_per_node(small, say):
    """41 $/h admits AWS and not GCP, however many nodes."""
    capped = say.gpu("H100", 8, max_hourly_cost=41)
    found = plan(say.task(capped, num_nodes=10), catalog=small, now=NOW)
    assert set(types(found)) == {"p5"}
    assert ("gcp", "above max_hourly_cost") in [(one.cloud, one.reason) for one in found.tasks[0].rejected]


def test_ordered_takes_the_first_feasible(small, say):
    """The dearer first wish wins over the cheaper second; an infeasible first is named and passed over."""
    wishes = (say.gpu("H100", 8, "gcp"), say.gpu("H100", 1))
    found = plan(say.task(*wishes, ordered=True), catalog=small, now=NOW)
    assert types(found) == ["a3", "one"]
    assert [one.alternative for one in (found.choice, *found.alternatives)] == [0, 1]
    found = plan(say.task(say.gpu("H100", 3), *wishes, ordered=True), catalog=small, now=NOW)
    assert found.choice.alternative == 1
    assert found.tasks[0].rejected[0].alternative == 0
    assert "counts 1, 8" in found.tasks[0].rejected[0].reason


def test_unordered_takes_the_cheapest(small, say):
    """The same wishes without preference: the cheaper one."""
    wishes = say.task(say.gpu("H100", 8, "gcp"), say.gpu("H100", 1))
    assert types(plan(wishes, catalog=small, now=date(2026, 1, 2))) == ["one", "a3"]


def test_a_marketplaces_old_price_is_a_hint_and_stands_last(small, say):
    """Offers there live minutes: after a day the price still shows, and leads no plan while others fit."""
    wishes = say.task(say.gpu("H100", 8, "gcp"), say.gpu("H100", 1))
    found = plan(wishes, catalog=small, now=date(2026, 1, 3))
    assert [(one.instance_type, one.hint) for one in (found.choice, *found.alternatives)] == [
        ("a3", False),
        ("one", True),
    ]
    assert plan(say.task(say.gpu("H100", 1)), catalog=small, now=date(2026, 1, 3)).choice.hint


def test_a_machine_that_two_alternatives_want_stands_once(small, say):
    """Overlapping alternatives do not repeat themselves, and the first is credited."""
    found = plan(say.task(say.gpu("H100", 8, "aws"), say.gpu("H100", 8)), catalog=small, now=NOW)
    assert [one.alternative for one in (found.choice, *found.alternatives)] == [0, 0, 1]
    assert found.tasks[0].more == 0


@pytest.mark.parametrize(
    ("write", "error", "pattern"),
    [
        (lambda say: say.gpu("H1000"), SpecError, r"resources.accelerators.*H1000.*mean.*H100"),
        (lambda say: say.gpu("H100", 3), NoOfferError, r"H100:3.*counts 1, 8"),
        (lambda say: say.gpu("A100"), NoOfferError, r"No launchable A100"),
        (lambda say: say.gpu("H100", 8, "vast"), NoOfferError, r"counts 1"),
        (lambda say: say.gpu("H100", 8, "aws/us-east-2"), NoOfferError, r"no region 'us-east-2'.*us-east-1"),
        (lambda say: say.gpu("H100", 8, "aws/us-east-1/az9"), NoOfferError, r"zone.*az1"),
        (lambda say: say.gpu("H100", 8, "aws", use_spot=True), NoOfferError, r"use_spot.*p5.*\$40.00"),
        (
            lambda say: say.gpu("H100", 1, "vast", use_spot=True),
            NoOfferError,
            r"no spot prices of vast.*refresh",
        ),
        (lambda say: say.gpu("H100", 1, max_hourly_cost=1), NoOfferError, r"max_hourly_cost.*\$2.00/h"),
        (lambda say: say.Item(cpus=say.Quantity(512)), NoOfferError, r"cpus is what.*2 vCPUs"),
        (lambda say: say.Item(instance_type="p55"), NoOfferError, r"'p55'.*p5"),
        (lambda say: say.Item(infra=say.at("awss")), SpecError, r"resources.infra.*'awss'.*aws"),
        (lambda say: say.Item(infra=say.at("Kubernetes")), NoOfferError, r"kubernetes.*aws, gcp, vast"),
        (lambda say: say.Item(infra=say.at("K8S")), NoOfferError, r"kubernetes"),
        (
            lambda say: say.Item(accelerators=(say.Accelerator(memory_gb=81),)),
            NoOfferError,
            r"81 GB.*80, 94",
        ),
    ],
)
def test_refusals_say_why_and_what_exists(small, say, write, error, pattern):
    """Each impossible wish: the right error, the cause, and the nearest thing there is."""
    with pytest.raises(error, match=pattern):
        plan(say.task(write(say)), catalog=small, now=NOW)


def test_when_no_alternative_fits_each_is_named(small, say):
    """Two impossible wishes: both appear in the one error."""
    with pytest.raises(NoOfferError, match=r"none of the 2.*H100:3.*H100:5"):
        plan(say.task(say.gpu("H100", 3), say.gpu("H100", 5)), catalog=small, now=NOW)


def test_a_memory_pattern_means_every_gpu_that_has_it(small, say):
    """`80GB+` by its fields, or as a name."""
    pattern = say.Item(
        accelerators=(say.Accelerator(memory_gb=80, memory_at_least=True, manufacturer="nvidia"),)
    )
    assert types(plan(say.task(pattern), catalog=small, now=NOW)) == ["one"]
    assert types(plan(say.task(say.gpu("80GB+")), catalog=small, now=NOW)) == ["one"]


def test_a_dag_of_one_task_is_that_task(small, say):
    """Nothing is made of the graph around it."""
    one = say.task(say.gpu("H100", 8))
    assert plan(SimpleNamespace(tasks=[one], name=None), catalog=small, now=NOW).choice.instance_type == "p5"


def test_offers_from_outside_compete(small, say):
    """A simulated cloud's offer is a candidate whatever is enabled, if it fits."""
    outside = say.offer(cloud="sim", region="aws", instance_type="sim-8", hourly_micro=1, vcpus=8.0)
    assert (
        plan(say.task(), catalog=small, extra_offers=[outside], clouds=["aws"], now=NOW).choice.cloud == "sim"
    )
    pinned = say.task(say.Item(infra=say.at("sim")))
    assert types(plan(pinned, catalog=small, extra_offers=[outside], clouds=["aws"], now=NOW)) == ["sim-8"]
    with pytest.raises(NoOfferError):
        plan(say.task(say.gpu("H100", 2)), catalog=small, extra_offers=[outside], now=NOW)


def test_simulated_clouds_are_named_alone_or_with_what_they_play(small, say):
    """`sim` means any simulated cloud, `sim/aws` one; without offers the error says how to have some."""
    played = [
        say.offer(cloud="sim/gcp", region="r", instance_type="g", hourly_micro=1),
        say.offer(cloud="sim/aws", region="r", instance_type="a", hourly_micro=2),
    ]
    anywhere = say.Item(infra=say.Infra("sim"))
    aws = say.Item(infra=say.Infra("sim/aws"))
    assert types(plan(say.task(anywhere), catalog=small, extra_offers=played, now=NOW)) == ["g", "a"]
    assert types(plan(say.task(aws), catalog=small, extra_offers=played, now=NOW)) == ["a"]
    for item in (anywhere, aws):
        with pytest.raises(NoOfferError, match="SKYNB_REHEARSE"):
            plan(say.task(item), catalog=small)


def test_price_age_and_notes(small, say, catalog_of):
    """30 days for on-demand, 1 for a marketplace; an undated price says so; `now` may be a datetime."""
    cpu = say.task(say.Item(instance_type="large"))
    assert plan(cpu, catalog=small, now=date(2026, 1, 31)).tasks[0].stale == ()
    assert "31 days old" in plan(cpu, catalog=small, now=date(2026, 2, 1)).tasks[0].stale[0]
    market = plan(say.task(say.gpu("H100")), catalog=small, now=datetime(2026, 1, 3, tzinfo=timezone.utc))
    assert market.age_days(market.choice) == 2
    assert "marketplace" in market.tasks[0].stale[0]
    undated = plan(say.task(), catalog=catalog_of([say.fact(as_of=None)]), now=NOW)
    assert undated.age_days(undated.choice) is None
    assert "no date" in undated.tasks[0].stale[0]


def test_an_aws_zone_by_the_accounts_name_gives_one_candidate(small, say):
    """us-east-1a is one of the region's AZ ids, which one only the account knows: asked zone, one row."""
    found = plan(say.task(say.gpu("H100", 8, "aws/us-east-1/us-east-1a")), catalog=small, now=NOW)
    assert (found.choice.zone, found.alternatives, found.tasks[0].more) == ("us-east-1a", (), 0)


def test_a_price_without_region_is_placed_where_the_task_wants_it(catalog_of, say):
    """A cloud with one price everywhere: the candidate carries the asked region."""
    catalog = catalog_of([say.fact(cloud="oci", region=None)])
    assert plan(say.task(say.Item(infra=say.at("oci/fra"))), catalog=catalog).choice.infra == "oci/fra"


def test_the_list_is_bounded_and_the_rest_counted(catalog_of, say):
    """60 regions: a choice, 50 alternatives, 9 more."""
    catalog = catalog_of([say.fact(region=f"r{n:02}") for n in range(60)])
    found = plan(say.task(), catalog=catalog, now=NOW)
    assert (len(found.alternatives), found.tasks[0].more) == (50, 9)


def test_the_hash_names_the_decision_not_the_day(small, say):
    """Another day: same hash. Another number of nodes or another choice: another hash."""
    first = plan(say.task(say.gpu("H100", 8)), catalog=small, now=date(2026, 1, 2))
    later = plan(say.task(say.gpu("H100", 8)), catalog=small, now=date(2026, 12, 2))
    assert first.age_days(first.choice) != later.age_days(later.choice)
    assert first.hash == later.hash
    assert len(first.hash) == 64
    assert first.hash != plan(say.task(say.gpu("H100", 8), num_nodes=2), catalog=small, now=NOW).hash
    assert first.hash != plan(say.task(say.gpu("H100", 8, "gcp")), catalog=small, now=NOW).hash


def test_a_plan_travels(small, say):
    """to_dict is plain JSON and comes back as an equal plan."""
    found = plan(say.task(say.gpu("H100", 8)), catalog=small, now=NOW)
    assert msgspec.convert(json.loads(json.dumps(found.to_dict())), Plan) == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found
    assert msgspec.convert(found.to_dict(), Plan) == found


SCRIPT = """
from types import SimpleNamespace as N
from datetime import date
import msgspec
from skynb.planning import plan
gpu = N(name="80GB+", count=8, manufacturer=None, memory_gb=None, memory_at_least=False)
item = N(infra=N(cloud=None, region=None, zone=None), accelerators=(gpu,), cpus=None, memory=None,
         instance_type=None, use_spot=False, max_hourly_cost=None, labels={}, local_disk=None)
task = N(name="t", num_nodes=2, inputs=None, outputs=None, resources=N(alternatives=lambda: (False, [item])))
print(msgspec.json.encode(plan(task, now=date(2026, 11, 23))).decode())
"""


def test_two_processes_decide_the_same_bytes(shipped, cache_folder):
    """Whatever PYTHONHASHSEED is, the encoded plan is the same, to the last byte."""
    answers = printed_by_any_hash(SCRIPT, SKYNB_CACHE_DIR=str(cache_folder))
    assert len(answers) == 1


def test_planning_imports_nothing_heavy(shipped, cache_folder):
    """The first plan in a process loads no rich, SQLAlchemy, click, subprocess or lzma."""
    heavy = {"rich", "sqlalchemy", "click", "lzma", "difflib", "statistics", "tempfile", "html"}
    if sys.version_info >= (3, 11):
        heavy.add("subprocess")  # before, `platform` loads it, which msgspec loads
    done = subprocess.run(
        [sys.executable, "-c", f"{SCRIPT}\nimport sys; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SKYNB_CACHE_DIR": str(cache_folder)},
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_catalog_that_cannot_be_read_is_an_error_of_ours(catalog_of, say):
    """The faces know one tree of errors: the catalog's own becomes a SkynbError with why and mend."""
    closed = catalog_of([say.fact()])
    closed.close()
    for question in (lambda: plan(say.task(), catalog=closed), lambda: gpus(catalog=closed)):
        with pytest.raises(SkynbError, match="cannot be read"):
            question()


def test_the_shipped_catalog_plans(shipped, say):
    """A100:8 in aws/us-east-1 is a p4d.24xlarge; the plan names snapshot, source and confidence."""
    found = plan(say.task(say.gpu("A100", 8, "AWS/us-east-1")), catalog=shipped)
    assert found.choice.instance_type == "p4d.24xlarge"
    assert found.snapshot == shipped.stamp.hash
    assert found.snapshot_date == "2026-11-23"
    assert found.choice.source
    assert found.choice.confidence in {"high", "medium", "low"}
