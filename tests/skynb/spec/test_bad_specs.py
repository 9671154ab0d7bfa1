"""Every curated wrong spec is refused by path, with the mend."""

from pathlib import Path

import pytest
import yaml

from skynb.errors import SpecError
from skynb.spec import load_dag

CASES = yaml.safe_load((Path(__file__).parent / "bad_specs.yaml").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["spec"][:60])
def test_a_wrong_spec_names_the_field_and_the_mend(case):
    """The error's path is that of the wrong field, and its text says what would be right."""
    with pytest.raises(SpecError) as caught:
        load_dag(case["spec"])
    assert caught.value.where == (case["where"] or None)
    assert case["says"] in str(caught.value)


def test_there_are_enough_of_them():
    """The museum of wrong specs does not shrink."""
    assert len(CASES) >= 120
