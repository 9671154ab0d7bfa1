"""Infra `aws` keeps the provider contract: boto3, an EC2 behind HTTP, and machines that are hosts."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.aws import AwsProvider
from skynb_clusters.testing import ProviderConformance
from skynb_clusters.transports.ssh import hang_up
from tests.support.ec2 import KEYS, REGION, ec2
from tests.support.hosts import lab_missing

CALLS = {"create": "RunInstances", "terminate": "TerminateInstances"}
OFTEN = {"code": "InternalError", "status": 500, "times": 99}  # more often than boto3 tries again


@pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}")
class TestAws(ProviderConformance):
    patience_s = 60.0
    secrets = (KEYS["AWS_SECRET_ACCESS_KEY"],)

    @pytest.fixture(scope="class")
    @classmethod
    def cloud(cls):
        with ec2(hosts=True) as made, pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in made.env.items():
                patch.setenv(name, value)
            cls._cloud = made
            yield made
            hang_up()

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, cloud, tmp_path_factory):  # noqa: ARG003 - wanted for its effect
        cls._home = tmp_path_factory.mktemp("conformance") / "aws"
        return AwsProvider(cls._home)

    @pytest.fixture(scope="class")
    @classmethod
    def request_for(cls):
        return lambda token, tags: NodeRequest(
            token=token, name="n", tags=tags, instance_type="m5.large", region=REGION, zone="us-east-1b"
        )

    def remade(self, provider):
        return AwsProvider(self._home)

    def losing(self, provider, verb):
        return self._failing(CALLS[verb], after=True)

    def blinded(self, provider):
        return self._failing("DescribeInstances")

    def cut_power(self, provider, machine):
        self._cloud.set(shut_down=machine.id)
        return True

    @contextmanager
    def _failing(self, action, **how):
        self._cloud.set(fail={action: OFTEN | how})
        try:
            yield
        finally:
            self._cloud.set(fail={})
