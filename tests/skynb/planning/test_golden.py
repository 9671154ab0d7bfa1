"""Plans of the shipped catalog that were worked out by hand (tests/support/golden.py has the requests)."""

from __future__ import annotations

from datetime import date

import pytest

from skynb.errors import NoOfferError
from skynb.planning import gpus, plan
from skynb.planning.terms import NO_TERMS
from skynb.planning.terms_file import read_terms
from skynb.spec import Dag, Task, load_dag
from tests.support.golden import ACCELERATORS, CHOICES, LIST_PRICES, SIZES, Case

TODAY = date(2026, 11, 23)
CASES = [*ACCELERATORS, *SIZES, *CHOICES]


@pytest.fixture
def terms(tmp_path):
    def read(text):
        if not text:
            return NO_TERMS
        (tmp_path / "offers.yaml").write_text(text)
        return read_terms(str(tmp_path / "offers.yaml"))

    return read


def planned(shipped, task, **options):
    return plan(task, catalog=shipped, now=TODAY, **{"terms": NO_TERMS} | options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says[:48])
def test_one_task(shipped, terms, case: Case):
    """The machine, every place where it costs as little, and the sum, as worked out by hand."""
    task = Task.from_yaml_str(case.task)
    found = planned(shipped, task, terms=terms(case.terms), **case.options)
    every = (found.choice, *found.alternatives)
    best = found.choice
    level = [one for one in every if (one.hint, one.cost_micro()) == (best.hint, best.cost_micro())]
    equal = {
        machine: tuple(one.infra for one in level if one.instance_type == machine)
        for machine in dict.fromkeys(one.instance_type for one in level)
    }
    assert equal == case.equal
    assert list(equal) == list(case.equal)
    assert found.cost_micro == case.cost
    assert best.hint == case.hint


@pytest.mark.parametrize(("cloud", "accelerator", "prices"), LIST_PRICES, ids=lambda value: str(value)[:12])
def test_list_prices_are_shown_and_never_planned(shipped, cloud, accelerator, prices):
    """These clouds publish the price of one GPU and no machine: `gpus` lists it, a plan refuses it."""
    rows = gpus(accelerator, cloud=cloud, catalog=shipped, today=TODAY).rows
    assert {row.instance_type: row.hourly_micro for row in rows} == prices
    assert not any(row.launchable for row in rows)
    task = Task.from_yaml_config({"resources": {"accelerators": accelerator, "infra": cloud}})
    with pytest.raises(NoOfferError, match=f"{accelerator} is not rented there"):
        planned(shipped, task)


def test_every_cloud_of_the_catalog_has_a_case(shipped):
    """All 22 clouds are asked for by hand at least once."""
    named = {place.partition("/")[0] for case in CASES for places in case.equal.values() for place in places}
    listed = {cloud for cloud, _, _ in LIST_PRICES}
    assert set(shipped.clouds()) <= named | listed
    assert len(shipped.clouds()) == 22


TRAIN = "{name: train, resources: {accelerators: 'A100:8', infra: aws/us-east-1}, outputs: {'s3://out': %g}}"
EVAL = "{name: eval, resources: {accelerators: L4, cpus: 4}}"


def chain(*tasks):
    return load_dag("\n---\n".join(["{name: line}", *tasks]))


@pytest.mark.parametrize(
    ("gigabytes", "hours", "infra", "transfer", "cost"),
    [
        # seeweb: $0.38 + 1 GB x $0.09 = $0.47; beside the data, g6.xlarge: $0.8048
        (1, 1, "seeweb", 90_000, 21_957_642 + 380_000 + 90_000),
        # seeweb: $0.38 + 100 GB x $0.09 = $9.38; g6.xlarge $0.8048
        (100, 1, "aws/us-east-1/use1-az1", 0, 21_957_642 + 804_800),
        # seeweb: 24 h x $0.38 + $9.00 = $18.12; g6.xlarge: 24 h x $0.8048 = $19.3152
        (100, 24, "seeweb", 9_000_000, 21_957_642 + 24 * 380_000 + 9_000_000),
    ],
)
def test_a_chain_weighs_egress_against_machines(shipped, gigabytes, hours, infra, transfer, cost):
    """Data leaves aws at $0.09 a GB; the second task follows it or not, whichever is less in all."""
    found = planned(shipped, chain(TRAIN % gigabytes, EVAL), hours={"A100": 1, "L4": hours})
    assert found.tasks[1].choice.infra == infra
    assert [one.micro for one in found.transfers] == [transfer]
    assert (found.cost_micro, found.bound) == (cost, None)


@pytest.mark.parametrize(
    ("gigabytes", "infra", "cost"),
    [
        # us-east4 $3.988562 + 0.5 GB x $0.02 = $3.998562 < us-central1 $4.001665
        (0.5, "gcp/us-east4", 539_999 + 3_988_562 + 10_000),
        # $3.988562 + 1 GB x $0.02 = $4.008562 > $4.001665
        (1, "gcp/us-central1", 539_999 + 4_001_665),
    ],
)
def test_regions_of_one_cloud_have_a_price_between_them(shipped, gigabytes, infra, cost):
    """L4:4 is 1.3 cents less in us-east4 than beside the data, and a GB between regions 2 cents."""
    first = "{name: a, resources: {accelerators: T4, infra: gcp/us-central1}, outputs: {'gs://o': %g}}"
    then = "{name: b, resources: {accelerators: 'L4:4', infra: gcp}}"
    found = planned(shipped, chain(first % gigabytes, then))
    assert found.tasks[1].choice.infra == infra
    assert found.cost_micro == cost


def test_egress_has_tiers(shipped):
    """20,000 GB out of aws: 10,240 x $0.09 + 9,760 x $0.085 = $921.60 + $829.60 = $1,751.20."""
    found = planned(
        shipped,
        chain(TRAIN % 20_000, "{name: next, resources: {instance_type: n2-standard-8, infra: gcp/us-east1}}"),
    )
    assert found.transfers[0].micro == 1_751_200_000
    assert found.transfers[0].seconds == 16_000  # 20,000 GB x 8 bits at 10 Gbit/s
    assert found.cost_micro == 21_957_642 + 388_472 + 1_751_200_000
    assert found.seconds == 3600 + 16_000 + 3600


def test_inputs_leave_the_cloud_that_stores_them(shipped):
    """10 h beside 500 GB in S3: p5.4xlarge 10 x $6.88 = $68.80; hyperbolic 10 x $1.29 + 500 x $0.09 = $57.90.

    For 5 h it is $34.40 against $6.45 + $45.00 = $51.45, and the data stays.
    """
    first = "{name: first, resources: {accelerators: H100}, inputs: {'s3://in': 500}}"
    then = "{name: then, resources: {instance_type: cpu_4x_general, infra: lambda/us-east-1}}"
    far = planned(shipped, chain(first, then), hours={"first": 10, "then": 1})
    assert far.tasks[0].choice.infra == "hyperbolic/default"
    assert far.cost_micro == 57_900_000 + 200_000
    near = planned(shipped, chain(first, then), hours={"first": 5, "then": 1})
    assert near.tasks[0].choice.infra == "aws/us-east-1/use1-az1"
    assert near.cost_micro == 34_400_000 + 200_000


def test_a_diamond(shipped):
    """gcp/us-central1 hands 50 GB to each of two tasks, which hand 10 GB each to aws/us-east-1.

    Either stays with the data ($0.706832, $2.669999) and sends 10 GB x $0.12 = $1.20 on; moving at once would
    cost 50 GB x $0.12 = $6.00, and the cheaper L4 of us-east4 50 GB x $0.02 = $1.00.
    """
    with Dag("diamond") as dag:
        start = Task.from_yaml_str(
            "{name: start, resources: {accelerators: T4, infra: gcp/us-central1}, outputs: {'gs://o': 50}}"
        )
        left = Task.from_yaml_str("{name: left, resources: {accelerators: L4}, outputs: {'gs://l': 10}}")
        right = Task.from_yaml_str("{name: right, resources: {accelerators: V100}, outputs: {'gs://r': 10}}")
        end = Task.from_yaml_str("{name: end, resources: {accelerators: T4, infra: aws/us-east-1}}")
        for middle in (left, right):
            _ = start >> middle
            _ = middle >> end
    found = planned(shipped, dag)
    assert {one.task: (one.choice.infra, one.choice.hourly_micro) for one in found.tasks} == {
        "start": ("gcp/us-central1", 539_999),
        "left": ("gcp/us-central1", 706_832),
        "right": ("gcp/us-central1", 2_669_999),
        "end": ("aws/us-east-1/use1-az1", 526_000),
    }
    assert sorted(one.micro for one in found.transfers) == [0, 0, 1_200_000, 1_200_000]
    assert found.cost_micro == 539_999 + 706_832 + 2_669_999 + 526_000 + 2 * 1_200_000


GROUP = """{name: both, execution: parallel}
---
{name: big, resources: {%s}}
---
{name: small, resources: {%s}}"""


@pytest.mark.parametrize(
    ("big", "small", "place", "cost"),
    [
        # Alone they would go to hyperstack ($15.20) and seeweb ($0.38), which have not both.
        ("accelerators: 'H100:8'", "accelerators: L4", ("aws", "us-east-1"), 55_040_000 + 804_800),
        # Only lambda has GH200, so the A10 goes there too.
        ("accelerators: GH200", "accelerators: A10", ("lambda", "asia-northeast-1"), 1_490_000 + 750_000),
    ],
)
def test_a_group_shares_one_place(shipped, big, small, place, cost):
    """The jobs of a group run in one region: the cheapest that has all of them."""
    found = planned(shipped, load_dag(GROUP % (big, small)))
    assert {(one.choice.cloud, one.choice.region) for one in found.tasks} == {place}
    assert found.cost_micro == cost


@pytest.mark.parametrize(
    ("deadline", "kind", "cost", "hours"),
    [
        # 5 h x $21.957642 + $0.526 against 2 h x $55.04 + $0.526
        (None, "p4d.24xlarge", 5 * 21_957_642 + 526_000, 6),
        (6, "p4d.24xlarge", 5 * 21_957_642 + 526_000, 6),
        (5.9, "p5.48xlarge", 2 * 55_040_000 + 526_000, 3),
        (3, "p5.48xlarge", 2 * 55_040_000 + 526_000, 3),
    ],
)
def test_a_deadline_over_a_chain(shipped, deadline, kind, cost, hours):
    """The cheapest chain that ends in time: the hours of both tasks add up."""
    kinds = "{'A100:8', 'H100:8'}"
    dag = chain(
        f"{{name: train, resources: {{infra: aws/us-east-1, accelerators: {kinds}}}}}",
        "{name: eval, resources: {infra: aws/us-east-1, accelerators: T4}}",
    )
    estimates = {"A100:8": 5, "H100:8": 2, "eval": 1}
    found = planned(shipped, dag, hours=estimates, deadline_hours=deadline)
    assert found.tasks[0].choice.instance_type == kind
    assert (found.cost_micro, found.seconds) == (cost, hours * 3600)
    if deadline:
        with pytest.raises(NoOfferError, match=r"nothing finishes within 2.9 h.*3 h"):
            planned(shipped, dag, hours=estimates, deadline_hours=2.9)
