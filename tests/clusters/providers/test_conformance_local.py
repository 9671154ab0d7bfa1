"""Infra `local` keeps the provider contract."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.local import LocalProvider
from skynb_clusters.testing import ProviderConformance


class TestLocal(ProviderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, tmp_path_factory):
        return LocalProvider(tmp_path_factory.mktemp("conformance") / "local")

    @pytest.fixture(scope="class")
    @classmethod
    def request_for(cls):
        return lambda token, tags: NodeRequest(token=token, name="n", tags=tags, instance_type="here")

    def remade(self, provider):
        return LocalProvider(provider._folder)

    def cut_power(self, provider, machine):
        card = msgspec.json.decode((provider._folder / machine.id / "machine.json").read_bytes())
        os.kill(int(card["init_pid"]), signal.SIGKILL)
        return True
