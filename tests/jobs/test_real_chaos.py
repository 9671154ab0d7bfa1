"""Fifty managed jobs on real machines, and a hundred times SIGKILL of what carries them."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, ClassVar

import msgspec
import pytest

from skynb import jobs
from skynb.client import server
from skynb_clusters.providers import processes
from tests.support.ec2 import Ec2, ec2
from tests.support.hosts import lab_missing
from tests.support.site import Site, site, until

JOBS, KILLS = 50, 100
SCRIPT = """
echo begin $(date +%s.%N)
for _ in $(seq $((300 + RANDOM % 200))); do sleep 1; echo beat $(date +%s.%N); done
echo end $(date +%s.%N)
"""


class Local:
    """Machines of infra `local`: groups of processes."""

    resources: ClassVar[dict[str, Any]] = {"infra": "local"}

    def __init__(self, here: Site) -> None:
        self._home = here.home / "local"

    def machines(self) -> list[str]:
        return sorted(place.name for place in self._home.glob("local-*"))

    def end(self, machine: str) -> str:
        """End a machine as a power cut does; the cluster's name, or nothing if it was gone."""
        try:
            card = msgspec.json.decode((self._home / machine / "machine.json").read_bytes())
            os.kill(card["init_pid"], signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return ""
        processes.end_marked(f"SKYNB_LOCAL_MACHINE={machine}", grace_s=0)
        return str(card["tags"]["skynb-cluster"])


class Amazon:
    """Instances of EC2 that are hosts of their own."""

    resources: ClassVar[dict[str, Any]] = {
        "infra": "aws/us-east-1",
        "instance_type": "m5.large",
    }

    def __init__(self, cloud: Ec2) -> None:
        self._cloud = cloud

    def machines(self) -> list[str]:
        return [one["InstanceId"] for one in self._cloud.instances() if one["State"]["Name"] == "running"]

    def end(self, machine: str) -> str:
        """As above: taken without a word."""
        (found,) = [one for one in self._cloud.instances() if one["InstanceId"] == machine] or [None]
        if found is None:
            return ""
        self._cloud.set(interrupt=machine)
        return next(tag["Value"] for tag in found["Tags"] if tag["Key"] == "skynb-cluster")


class Fate:
    """Kills what a seed chooses, again and again; `lost` says which cluster lost its machine, and when."""

    def __init__(self, here: Site, land: Local | Amazon, seed: int) -> None:
        self._here, self._land = here, land
        self._random = random.Random(seed)
        self.lost: list[tuple[str, float]] = []

    def strike(self) -> bool:
        """False if there was nothing to kill."""
        deeds: list[Callable[[], bool]] = [self._machine, self._agent, self._server]
        return self._random.choices(deeds, [5, 3, 2])[0]()

    def pause(self) -> float:
        """Seconds to the next one."""
        return self._random.uniform(2.0, 6.0)

    def _machine(self) -> bool:
        machines = self._land.machines()
        if not machines or not (cluster := self._land.end(self._random.choice(machines))):
            return False
        self.lost.append((cluster, time.time()))
        return True

    def _agent(self) -> bool:
        """Any of the agents' daemons, wherever it runs."""
        agents = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if any(word.endswith(b"agent.pyz") for word in words) and b"rpc" not in words:
                agents.append(int(place.name))
        if not agents:
            return False
        try:
            os.kill(self._random.choice(sorted(agents)), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _server(self) -> bool:
        if server.card() is None:
            return False
        self._here.kill_server()
        return True


@contextmanager
def amazon() -> Iterator[tuple[Site, Amazon]]:
    with ec2(hosts=True) as cloud, cloud.around(), site() as here:
        yield here, Amazon(cloud)


@contextmanager
def local() -> Iterator[tuple[Site, Local]]:
    with site() as here:
        yield here, Local(here)


NO_HOSTS = pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}")


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("land", [local, pytest.param(amazon, marks=NO_HOSTS)])
def test_fifty_jobs_survive_a_hundred_kills(land):
    """Each ends once and well, no two attempts ever work at once, and nothing is left."""
    with land() as (here, infra):
        task = {"name": "work", "resources": infra.resources, "run": SCRIPT}
        numbers = jobs.launch(task, num_jobs=JOBS).job_ids
        until(lambda: {job.status for job in jobs.queue(job_ids=numbers)} == {"RUNNING"}, 400)
        fate, kills = Fate(here, infra, seed=6), 0
        while kills < KILLS:
            kills += fate.strike()
            time.sleep(fate.pause())
            assert not all(job.final for job in jobs.queue(job_ids=numbers)), f"over after {kills} kills"
        until(lambda: all(job.closed for job in jobs.queue(job_ids=numbers)), 1200)
        found = jobs.queue(job_ids=numbers)
        assert {job.status for job in found} == {"SUCCEEDED"}
        begins = {job.id: one_at_a_time(list(jobs.tail_logs(job.id, follow=False))) for job in found}
        assert all(len(begins[job.id]) <= len(job.tasks[0].attempts) for job in found)
        until(lambda: infra.machines() == [], 60)
        first = [(cluster, at) for cluster, at in fate.lost if "-r" not in cluster]
        print(f"\nfirst losses, before anything waits on purpose: {_told(first, begins)}")
        print(f"all losses: {_told(fate.lost, begins)}")


def one_at_a_time(lines: list[str]) -> list[float]:
    """When each attempt began its work: after the last sign of those before it."""
    whole = [found for line in lines if (found := re.fullmatch(r"(\w+) (\d+\.\d{9})", line))]
    said = [(found[1], float(found[2])) for found in whole]
    moments = [at for _, at in said]
    assert moments == sorted(moments), "two attempts worked at once"
    assert [word for word, _ in said].count("end") == 1
    return [at for word, at in said if word == "begin"]


def _told(lost: list[tuple[str, float]], begins: dict[int, list[float]]) -> str:
    """How long it took from the loss of a machine to the next beginning of its job's work."""
    taken = []
    for cluster, at in lost:
        own = begins[int(cluster.removeprefix("work-").partition("-")[0])]
        if any(begin < at for begin in own) and (later := [begin - at for begin in own if begin > at]):
            taken.append(min(later))
    median, most = quantiles(taken, n=20)[9], quantiles(taken, n=20)[18]
    return f"{len(taken)}, median {median:.1f} s, p95 {most:.1f} s"
