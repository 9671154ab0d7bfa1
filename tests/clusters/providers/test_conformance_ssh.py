"""Infra `ssh` keeps the provider contract, on hosts with an sshd of their own that several machines share."""

from __future__ import annotations

import json
import os

import pytest

from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.ssh.provider import SshProvider
from skynb_clusters.testing import ProviderConformance
from skynb_clusters.transports.ssh import hang_up

MACHINES = 24  # more than the suite has at once


class TestSsh(ProviderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def hosts(cls, lab):
        number = -(-MACHINES // (os.cpu_count() or 1))
        cls._hosts = [lab.up(f"h{index}") for index in range(number)]
        return cls._hosts

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, lab, hosts, tmp_path_factory):
        home = tmp_path_factory.mktemp("conformance")
        pool = {
            "user": "root",
            "identity_file": str(lab.key),
            "allocation": "shared",
            "hosts": [host.address for host in hosts],
        }
        (home / "ssh_pools.yaml").write_text(json.dumps({"p": pool}))
        cls._home = home / "ssh"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(home))
            patch.delenv("SSH_AUTH_SOCK", raising=False)
            yield SshProvider(cls._home)
            hang_up()

    @pytest.fixture(scope="class")
    @classmethod
    def request_for(cls):
        return lambda token, tags: NodeRequest(
            token=token, name="n", tags=tags, instance_type="001cpu-1gib", region="ssh-p"
        )

    def remade(self, provider):
        hang_up()
        return SshProvider(self._home)
