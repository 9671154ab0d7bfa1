from __future__ import annotations

import msgspec
import pytest

from skynb.errors import NoOfferError, SpecError
from skynb.planning import gpus, plan

EVIL = "<script>alert(1)</script>"


def test_a_plan_shows_price_place_age_and_source(shipped, say):
    """What a reader must see before paying: machine, place, price, age, source, what else."""
    text = str(plan(say.task(say.gpu("A100", 8, "aws/us-east-1")), catalog=shipped))
    assert text.splitlines()[0].startswith("train: p4d.24xlarge on aws/us-east-1/use1-az")
    for part in ("A100:8", "$21.96", "price ", "confidence", "source:"):
        assert part in text


def test_html_is_escaped(catalog_of, say):
    """A name from a catalog or a task is text, whatever it contains."""
    catalog = catalog_of(
        [say.fact(instance_type=EVIL, source=EVIL, accelerator="H100", accelerator_count=8.0)]
    )
    found = plan(say.task(say.gpu("H100", 8), name=EVIL), catalog=catalog)
    table = gpus(catalog=catalog)
    for shown in (found, table):
        bundle = shown._repr_mimebundle_(include=None, exclude=None)
        assert EVIL not in bundle["text/html"]
        assert "alert(1)" not in bundle["text/html"].replace("&lt;script&gt;alert(1)", "")
        assert "&lt;script&gt;" in bundle["text/html"]
        assert bundle["text/plain"] == str(shown)


def test_ten_kinds_of_machines_are_shown_the_rest_counted(catalog_of, say):
    """A notebook's cell stays short: places of one type are one row, and every candidate is in the count."""
    kinds = [(kind, region) for kind in range(12) for region in range(3)]
    rows = [say.fact(region=f"r{r}", instance_type=f"k{k:02}", hourly_micro=1000 + k) for k, r in kinds]
    text = str(plan(say.task(), catalog=catalog_of(rows)))
    assert "aws/r0 +2" in text
    assert "k09" in text
    assert "k10" not in text
    assert "and 6 further candidates" in text


def test_gpus_lists_everything(shipped):
    """All accelerators, list prices marked, in JSON types too."""
    table = gpus(catalog=shipped)
    assert len(table.rows) > 300
    assert "list price" in str(table)
    assert "linear-gradient" in table._repr_mimebundle_()["text/html"]
    assert [row["instance_type"] for row in table.to_dict()["rows"]] == [
        row.instance_type for row in table.rows
    ]
    assert msgspec.json.encode(table)


def test_gpus_by_name_cloud_and_region(shipped):
    """Any spelling, any case; every region on request."""
    table = gpus("h100-sxm", cloud="AWS", catalog=shipped)
    assert {(row.accelerator, row.cloud) for row in table.rows} == {("H100", "aws")}
    assert len(gpus("H100", cloud="aws", all_regions=True, catalog=shipped).rows) > len(table.rows)


def test_gpus_refuses_with_reasons(shipped):
    """Unknown name, unknown cloud, known cloud without the accelerator: three clear errors."""
    with pytest.raises(SpecError, match="H100"):
        gpus("H1000", catalog=shipped)
    with pytest.raises(SpecError, match="'nowhere'"):
        gpus(cloud="nowhere", catalog=shipped)
    with pytest.raises(NoOfferError, match="kubernetes"):
        gpus("H100", cloud="kubernetes", catalog=shipped)
