"""Tasks that hand data on are placed together: the sum of machines and transfers is least."""

from __future__ import annotations

from datetime import date
from itertools import pairwise, product
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.errors import NoOfferError, SpecError
from skynb.planning import plan

NOW = date(2026, 1, 2)
EGRESS = {"aws": 90_000, "gcp": 120_000}  # micro-dollars a GB out to the internet, first tier
BETWEEN = 20_000  # a GB from one region of these clouds to another


def dag(*tasks, edges=None, group=False, name="line"):
    pairs = list(pairwise(tasks)) if edges is None else edges
    return SimpleNamespace(
        name=name, tasks=list(tasks), edges=[] if group else pairs, is_job_group=lambda: group
    )


@pytest.fixture
def world(catalog_of, say):
    """An H100 on aws for 4 $/h and on gcp for 5, an L4 on aws for 2 and on gcp for 1."""
    prices = {("aws", "H100"): 4.0, ("gcp", "H100"): 5.0, ("aws", "L4"): 2.0, ("gcp", "L4"): 1.0}
    return catalog_of(
        [
            say.fact(
                cloud=cloud,
                region="r1",
                instance_type=name.lower(),
                accelerator=name,
                accelerator_count=1.0,
                hourly_micro=round(price * 1_000_000),
            )
            for (cloud, name), price in prices.items()
        ]
    )


def clouds(found):
    return [task.choice.cloud for task in found.tasks]


def test_without_data_each_task_runs_where_it_is_cheapest(world, say):
    """4 $ on aws and 1 $ on gcp, one after the other."""
    found = plan(dag(say.task(say.gpu("H100")), say.task(say.gpu("L4"))), catalog=world, now=NOW)
    assert clouds(found) == ["aws", "gcp"]
    assert (found.cost_micro, found.seconds, found.edges, found.transfers) == (5_000_000, 7200, ((0, 1),), ())


def test_data_draws_tasks_together(world, say):
    """100 GB out of aws cost 9 $, 20 GB 1.80 $: both tasks in one cloud (6 $). 10 GB (0.90 $): apart."""

    def line(gigabytes):
        first = say.task(say.gpu("H100"), outputs={"gs://x": gigabytes})
        return plan(dag(first, say.task(say.gpu("L4"))), catalog=world, now=NOW)

    assert line(100).cost_micro == line(20).cost_micro == 6_000_000
    assert len(set(clouds(line(20)))) == 1
    apart = line(10)
    assert clouds(apart) == ["aws", "gcp"]
    assert apart.cost_micro == 5_000_000 + 10 * EGRESS["aws"]
    (moved,) = apart.transfers
    assert (moved.first, moved.then, moved.source, moved.target) == (0, 1, "aws/r1", "gcp/r1")
    assert (moved.micro, moved.seconds) == (900_000, 8)
    assert apart.seconds == 7208


def test_inputs_of_a_first_task_come_from_their_cloud(world, say):
    """100 GB in gs:// make the H100 on gcp (5 $) cheaper than on aws (4 $ + 12 $)."""
    task = say.task(say.gpu("H100"), inputs={"gs://data": 100})
    other = say.task(say.gpu("L4"))
    found = plan(dag(task, other), catalog=world, now=NOW)
    assert clouds(found) == ["gcp", "gcp"]
    assert [(one.first, one.then, one.micro) for one in found.transfers] == [(None, 0, 0)]
    little = plan(dag(say.task(say.gpu("H100"), inputs={"gs://data": 5}), other), catalog=world, now=NOW)
    assert clouds(little) == ["aws", "gcp"]
    assert little.transfers[0].micro == 5 * EGRESS["gcp"]


def test_inputs_of_a_task_by_itself_count_too(world, say):
    """The same without a graph: 100 GB in gs:// draw it to gcp, 5 GB (0.60 $) do not."""
    assert clouds(plan(say.task(say.gpu("H100"), inputs={"gs://data": 100}), catalog=world, now=NOW)) == [
        "gcp"
    ]
    little = plan(say.task(say.gpu("H100"), inputs={"gs://data": 5}), catalog=world, now=NOW)
    assert clouds(little) == ["aws"]
    assert little.cost_micro == 4_000_000 + 5 * EGRESS["gcp"]
    assert [one.cloud for one in little.alternatives] == ["gcp"]


def test_a_group_runs_on_one_infra(world, say):
    """Cheapest apart would be aws and gcp; together both clouds cost 6 $, and names decide."""
    group = dag(say.task(say.gpu("H100"), name="a"), say.task(say.gpu("L4"), name="b"), group=True)
    found = plan(group, catalog=world, now=NOW)
    assert clouds(found) == ["aws", "aws"]
    assert (found.cost_micro, found.seconds) == (6_000_000, 3600)
    nowhere = dag(
        say.task(say.gpu("H100", infra="aws"), name="a"),
        say.task(say.gpu("L4", infra="gcp"), name="b"),
        group=True,
    )
    with pytest.raises(NoOfferError, match=r"no infra has machines for all of a, b"):
        plan(nowhere, catalog=world, now=NOW)


def test_branches_run_side_by_side(world, say):
    """A diamond of 1 h tasks takes 3 h, not 4; with a deadline of 2 h the error says what is least."""
    a, b, c, d = (say.task(say.gpu("L4"), name=name) for name in "abcd")
    diamond = dag(a, b, c, d, edges=[(a, b), (a, c), (b, d), (c, d)])
    assert plan(diamond, catalog=world, now=NOW).seconds == 3 * 3600
    with pytest.raises(NoOfferError, match=r"within 2 h.*3 h"):
        plan(diamond, deadline_hours=2, catalog=world, now=NOW)


def test_a_deadline_buys_speed_only_where_it_is_needed(world, say):
    """Each task 1 h on an H100 or 4 h on an L4. Within 6 h one of the two needs the H100; within 2 h both."""
    hours = {"H100": 1, "L4": 4}

    def line(deadline):
        tasks = [say.task(say.gpu("H100"), say.gpu("L4"), name=name) for name in "ab"]
        return plan(dag(*tasks), deadline_hours=deadline, hours=hours, catalog=world, now=NOW)

    assert line(2).seconds == 2 * 3600
    assert {one.choice.accelerator for one in line(2).tasks} == {"H100"}
    assert line(None).cost_micro <= line(6).cost_micro <= line(2).cost_micro
    assert line(6).seconds <= 6 * 3600


def test_what_is_wrong_names_the_task(world, say):
    """Its position and name."""
    good, bad = say.task(say.gpu("L4"), name="good"), say.task(say.gpu("L4", 16), name="bad")
    with pytest.raises(NoOfferError, match=r"tasks\[1\]\.resources: bad: nothing fits"):
        plan(dag(good, bad), catalog=world, now=NOW)
    with pytest.raises(SpecError, match="no task"):
        plan(dag(), catalog=world, now=NOW)


def test_a_plan_of_several_shows_every_task_and_the_sum(world, say):
    """In text and HTML, with what moves."""
    first = say.task(say.gpu("H100"), name="train", outputs={"s3://x": 10})
    found = plan(dag(first, say.task(say.gpu("L4"), name="eval")), catalog=world, now=NOW)
    text = str(found)
    for part in ("train: h100 on aws/r1", "eval: l4 on gcp/r1", "10 GB into eval", "In all $5.90 in 2 h"):
        assert part in text
    assert "In all $5.90" in found._repr_mimebundle_()["text/html"]


PLACES = [("aws", "r1"), ("aws", "r2"), ("gcp", "r1")]


def transfer(source, target, gigabytes):
    if source == target:
        return 0
    return round(gigabytes * (BETWEEN if source[0] == target[0] else EGRESS[source[0]]))


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(st.lists(st.integers(1, 40), min_size=3, max_size=3), min_size=2, max_size=4),
    sizes=st.lists(st.sampled_from([0, 1, 5, 50]), min_size=4, max_size=4),
    arrows=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))),
    nodes=st.integers(1, 3),
)
def test_graphs_are_placed_as_brute_force_does(prices, sizes, arrows, nodes):
    """Any small graph over three places: the sum is the least possible, to the micro-dollar."""
    from tempfile import TemporaryDirectory

    from tests.skynb.planning.conftest import gpu, task
    from tests.support.catalogs import catalog_in
    from tests.support.facts import fact

    kinds = ["H100", "L4", "T4", "A100"]
    facts = [
        fact(
            cloud=cloud,
            region=region,
            instance_type=kind.lower(),
            accelerator=kind,
            accelerator_count=1.0,
            hourly_micro=price * 100_000,
        )
        for kind, row in zip(kinds, prices, strict=False)
        for (cloud, region), price in zip(PLACES, row, strict=True)
    ]
    tasks = [
        task(gpu(kind), name=kind, num_nodes=nodes, outputs={"s3://x": size})
        for kind, _, size in zip(kinds, prices, sizes, strict=False)
    ]
    edges = sorted((first, then) for first, then in arrows if first < then < len(tasks))
    best = min(
        sum(nodes * prices[index][place] * 100_000 for index, place in enumerate(places))
        + sum(transfer(PLACES[places[a]], PLACES[places[b]], sizes[a]) for a, b in edges)
        for places in product(range(3), repeat=len(tasks))
    )
    with TemporaryDirectory() as folder, catalog_in(folder, facts) as catalog:
        graph = dag(*tasks, edges=[(tasks[a], tasks[b]) for a, b in edges])
        found = plan(graph, catalog=catalog, now=NOW)
    assert found.bound is None
    assert found.cost_micro == best
    assert found.cost_micro == sum(one.cost_micro for one in found.tasks) + sum(
        one.micro for one in found.transfers
    )


def test_a_price_that_holds_everywhere_is_had_beside_the_others(catalog_of, say):
    """A machine without region runs in the region of the others, and no data leaves for it."""
    catalog = catalog_of(
        [
            say.fact(cloud="oci", region=None, accelerator="L4", accelerator_count=1.0),
            say.fact(cloud="oci", region="fra", instance_type="n", accelerator="H100", accelerator_count=1.0),
        ]
    )
    tasks = [say.task(say.gpu("L4"), name="a", outputs={"oci://x": 1e6}), say.task(say.gpu("H100"), name="b")]
    for graph in (dag(*tasks), dag(*tasks, group=True)):
        found = plan(graph, catalog=catalog, now=NOW)
        assert [one.choice.infra for one in found.tasks] == ["oci/fra", "oci/fra"]
        assert all(one.seconds == 0 for one in found.transfers)
        assert [(one.alternatives, one.more) for one in found.tasks] == [((), 0), ((), 0)]
