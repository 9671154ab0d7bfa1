"""A fake AWS for all, and for each test a provider with an owner of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import cache

import botocore.session
import pytest

from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.aws import AwsProvider
from tests.support.ec2 import REGION, Ec2, ec2

NO_FAULTS = {
    "no_capacity": [],
    "not_in_zone": [],
    "vcpu_quota": None,
    "pending_s": 0,
    "ending_s": 0,
    "stopping_s": 0,
    "invisible_s": 0,
    "fail": {},
    "lose": {},
    "lie": {},
}


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Every provider has a session of its own; what AWS's interfaces look like is read from disk for all."""
    plain = botocore.session.create_loader
    botocore.session.create_loader = cache(plain)
    yield
    botocore.session.create_loader = plain


@pytest.fixture(scope="session")
def fake() -> Iterator[Ec2]:
    with ec2() as made:
        yield made


@pytest.fixture
def cloud(fake: Ec2, monkeypatch) -> Iterator[Ec2]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    fake.set(**NO_FAULTS)
    yield fake
    fake.set(**NO_FAULTS)
    if left := [one["InstanceId"] for one in fake.instances()]:
        fake.client().terminate_instances(InstanceIds=left)


@pytest.fixture
def provider(cloud, tmp_path) -> AwsProvider:
    return AwsProvider(tmp_path / "aws")


@pytest.fixture
def settings(tmp_path) -> Callable[[str], None]:
    """Writes the section `aws` of config.yaml."""

    def write(text: str) -> None:
        (tmp_path / "config.yaml").write_text(
            "aws:\n" + "".join(f"  {line}\n" for line in text.strip().splitlines())
        )

    return write


@pytest.fixture
def ask(tmp_path) -> Callable[..., NodeRequest]:
    """Requests of one owner, each with its own token unless one is given."""
    numbers = itertools.count()

    def make(**wanted) -> NodeRequest:
        number = next(numbers)
        usual = {
            "token": f"skynb-{tmp_path.name}-{number}"[:64],
            "name": f"c-{number}",
            "tags": {"skynb-owner": tmp_path.name, "skynb-record": f"node-{number}", "skynb-cluster": "c"},
            "instance_type": "m5.large",
            "region": REGION,
            "zone": "us-east-1b",
        }
        return NodeRequest(**(usual | wanted))

    return make
