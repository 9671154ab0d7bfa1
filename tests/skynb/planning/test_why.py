"""For every kind of offer, the one reason why it is no candidate."""

from __future__ import annotations

from datetime import datetime, timezone

from skynb.planning import plan
from skynb.planning.blocks import block
from skynb.planning.why import why

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def test_candidates_and_reasons_are_the_whole_catalog(shipped, say):
    """Nothing is counted twice and nothing is lost, whatever is asked."""
    for task in (
        say.task(say.gpu("A100", 8)),
        say.task(),
        say.task(say.gpu("H100", 8, infra="aws/us-east-1", use_spot=True)),
        say.task(say.gpu("80GB+", 8, max_hourly_cost=30)),
        say.task(say.Item(local_disk="nvme:1000+")),
    ):
        found = why(task, catalog=shipped, now=NOW)
        (one,) = found.plan.tasks
        candidates = 1 + len(one.alternatives) + one.more
        assert candidates + sum(reason.offers for reason in found.reasons) == shipped.stamp.rows


def test_each_reason_is_in_the_words_of_the_task(catalog_of, say):
    """One machine for each way to be refused."""
    h100 = {"accelerator": "H100", "accelerator_count": 8.0, "hourly_micro": 9_000_000}
    catalog = catalog_of(
        [
            say.fact(instance_type="good", **h100),
            say.fact(instance_type="dear", **h100 | {"hourly_micro": 50_000_000}),
            say.fact(instance_type="four", **h100 | {"accelerator_count": 4.0}),
            say.fact(instance_type="other", **h100 | {"accelerator": "L4"}),
            say.fact(instance_type="elsewhere", region="west", **h100),
            say.fact(instance_type="free", **h100 | {"hourly_micro": 0}),
            say.fact(instance_type="failed", **h100),
        ]
    )
    wanted = say.task(say.gpu("H100", 8, infra="aws/us-east-1", max_hourly_cost=20))
    failed = next(
        one for one in plan(wanted, catalog=catalog, now=NOW).ladder() if one.instance_type == "failed"
    )
    held = block("capacity", failed, NOW.timestamp(), "no luck")
    found = why(wanted, catalog=catalog, now=NOW, blocks=[held])
    assert {reason.reason: reason.offers for reason in found.reasons} == dict.fromkeys(
        (
            "above max_hourly_cost",
            "not 8 of H100",
            "not H100",
            "not in us-east-1",
            "set aside: price zero or negative",
            "blocked by a failure",
        ),
        1,
    )
    assert "four" in {reason.example for reason in found.reasons}
    assert "not 8 of H100" in str(found)
    assert "<table" in found._repr_mimebundle_()["text/html"]
