"""Two plans side by side, and a plan that is kept."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.errors import SpecError
from skynb.planning import Plan, plan
from skynb.planning.diff import diff
from skynb.planning.reading import read_plan

NOW = date(2026, 1, 2)


@pytest.fixture
def before(catalog_of, say):
    return plan(say.task(), catalog=catalog_of(rows(say)), now=NOW)


def rows(say, **changes):
    return [
        say.fact(**changes),
        say.fact(cloud="gcp", region="central", instance_type="n", hourly_micro=500_000),
    ]


def test_a_plan_does_not_differ_from_itself(before, catalog_of, say):
    """Nor from one that was made on another day."""
    assert not diff(before, before)
    later = plan(say.task(), catalog=catalog_of(rows(say)), now=date(2026, 1, 3))
    assert not diff(before, later)
    assert "Nothing differs" in str(diff(before, later))


def test_what_moved_is_named(before, catalog_of, say):
    """AWS became dearer than GCP: another choice, another price, another order."""
    after = plan(say.task(), catalog=catalog_of(rows(say, hourly_micro=600_000, as_of="2026-01-02")), now=NOW)
    found = {change.what: (change.before, change.after) for change in diff(before, after).changes}
    assert found["choice"] == ("m.large on aws/us-east-1", "n on gcp/central")
    assert found["price"] == ("$0.4000/h of 2026-01-01", "$0.5000/h of 2026-01-01")
    assert found["next best"] == ("n on gcp/central", "m.large on aws/us-east-1")
    assert found["cost"] == ("$0.4000", "$0.5000")
    assert "choice" in str(diff(before, after))
    assert "<table>" in diff(before, after)._repr_mimebundle_()["text/html"]


def test_a_plan_survives_yaml_and_json(before):
    """Byte for byte the same decision."""
    assert Plan.from_yaml(before.to_yaml()) == before
    assert read_plan(json.dumps(before.to_dict())) == before


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fall(text):
    """Whatever it is: a plan, or one clear error."""
    with pytest.raises(SpecError):
        read_plan(text)


def test_a_changed_plan_is_refused(before):
    """A price edited by hand would make a lie of the hash."""
    page = before.to_dict()
    page["cost_micro"] = 1
    with pytest.raises(SpecError, match="changed after it was made"):
        read_plan(json.dumps(page))
    page["schema"] = 1
    with pytest.raises(SpecError, match="another version"):
        read_plan(json.dumps(page))
    with pytest.raises(SpecError, match="no plan"):
        read_plan(json.dumps({"schema": 2, "tasks": [1]}))
