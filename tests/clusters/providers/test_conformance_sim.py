"""Infra `sim` on the wall clock keeps the provider contract, also while its cloud misbehaves."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import msgspec
import pytest

from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.sim.provider import SimProvider
from skynb_clusters.testing import ProviderConformance


class TestSim(ProviderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, tmp_path_factory):
        return SimProvider(tmp_path_factory.mktemp("conformance") / "sim")

    @pytest.fixture(scope="class")
    @classmethod
    def request_for(cls):
        return lambda token, tags: NodeRequest(
            token=token,
            name="n",
            tags=tags,
            instance_type="g5.xlarge",
            region="aws/us-east-1",
            zone="use1-az1",
            hourly_micro=1_006_000,
        )

    def remade(self, provider):
        return SimProvider(provider._folder)

    def losing(self, provider, verb):
        return self._fault(provider, f"{verb}-response-lost")

    def blinded(self, provider):
        return self._fault(provider, "region-down")

    def cut_power(self, provider, machine):
        node = next(one for one in provider._nodes.list({}).machines if one.token.endswith(machine.id))
        card = msgspec.json.decode((provider._nodes._folder / node.id / "machine.json").read_bytes())
        os.kill(int(card["init_pid"]), signal.SIGKILL)
        return True

    @contextmanager
    def _fault(self, provider, text):
        path = provider._folder / "faults.txt"
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()
