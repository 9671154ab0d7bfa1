"""Work goes to machines that are there only if they have what it asks for."""

from __future__ import annotations

import pytest

from skynb.errors import SpecError
from skynb.planning import fitting
from skynb.spec import Task
from skynb_catalog import Offer

BIG = Offer(
    cloud="aws",
    region="us-east-1",
    zone=None,
    instance_type="p5.48xlarge",
    vcpus=192,
    memory_gib=2048,
    accelerator="H100",
    accelerator_count=8,
    accelerator_memory_gib=80,
    arch="x86_64",
    hourly_micro=1,
    spot_hourly_micro=None,
    as_of=None,
    spot_as_of=None,
    source="test",
    confidence="high",
)


@pytest.mark.parametrize(
    ("resources", "answer"),
    [
        ({}, 0),
        ({"accelerators": "H100:4"}, 0),
        ({"accelerators": "h100-80gb:8"}, 0),
        ({"accelerators": "H100:16"}, None),
        ({"accelerators": "A100:1"}, None),
        ({"any_of": [{"accelerators": "A100:1"}, {"accelerators": "H100:1"}]}, 1),
        ({"cpus": "64+"}, 0),
        ({"cpus": 8}, 0),
        ({"cpus": "500+"}, None),
        ({"memory": "4096+"}, None),
        ({"infra": "aws"}, 0),
        ({"infra": "aws/us-west-2"}, None),
        ({"infra": "gcp"}, None),
        ({"instance_type": "m5.large"}, None),
        ({"max_hourly_cost": 0.01, "use_spot": True}, 0),
    ],
)
def test_at_least_what_is_asked(resources, answer):
    """More than asked is fine, less or another kind is not; price and spot no longer matter."""
    assert fitting(Task(run="true", resources=resources), BIG) == answer


def test_a_name_nobody_knows_is_a_mistake_and_not_a_no():
    """The nearest name is offered, as in planning."""
    with pytest.raises(SpecError, match="H100"):
        fitting(Task(run="true", resources={"accelerators": "H1000:1"}), BIG)
