"""The table of what the server carries out."""

import pytest

from skynb.spec import Resources, Task, unexecuted_fields
from skynb.spec.executed import RESOURCES, TASK


def test_every_field_has_a_row():
    """A field added to the language cannot be forgotten in the table."""
    assert set(TASK) == set(Task.FIELDS)
    assert set(RESOURCES) == set(Resources.FIELDS)


def test_what_is_executed_is_not_listed():
    """A task of today's fields has nothing to refuse, nor has one that writes defaults out."""
    task = Task(
        "a",
        workdir=".",
        num_nodes=2,
        setup="x",
        run="y",
        envs={"A": "1"},
        secrets={"B": "2"},
        file_mounts={"~/a": "b", "c": "d"},
        config={},
        api_server_access=True,
        resources={
            "accelerators": "A100",
            "use_spot": True,
            "disk_tier": "high",
            "autostop": {"idle_minutes": 5},
            "any_of": [{"infra": "aws", "max_hourly_cost": 3}, {"cloud": "gcp", "priority": 5}],
            "labels": {"a": "b"},
            "disk_size": 100,
            "ports": [8080],
            "image_id": {"us-east-1": "ami-1"},
        },
    )
    assert unexecuted_fields(task) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"workdir": {"url": "u"}}, ["workdir"]),
        ({"secrets": {"A": None, "B": "x"}}, ["secrets.A"]),
        ({"resources": {"network_tier": "best"}}, ["resources.network_tier"]),
        (
            {"resources": {"any_of": [{}, {"image_id": "docker:x"}]}},
            ["resources.any_of[1].image_id"],
        ),
        ({"resources": {"autostop": {"hook": "x"}}}, ["resources.autostop.hook"]),
        (
            {"config": {"docker": {"run_options": "x"}, "hooks": [{"run": "y"}]}},
            ["config.docker.run_options", "config.hooks[0].events"],
        ),
        ({"service": {"readiness_probe": "/"}, "event_callback": "x"}, ["service", "event_callback"]),
        (
            {"file_mounts": {"/a": "s3://b", "/c": "d"}, "api_server_access": False},
            ["file_mounts./a", "api_server_access"],
        ),
    ],
)
def test_what_is_not_executed_is_named(config, expected):
    """Each field that nobody carries out is named by its path."""
    assert unexecuted_fields(Task.from_yaml_config(config)) == expected
