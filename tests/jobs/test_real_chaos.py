"""Fifty managed jobs on real machines of infra `local`, and a hundred times SIGKILL of what carries them."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from statistics import quantiles

import msgspec
import pytest

from skynb import jobs
from skynb.client import server
from skynb_clusters.providers import processes
from tests.support.site import Site, site, until

JOBS, KILLS = 50, 100
SCRIPT = """
exec 9>>$RECORDS/lock-$SKYNB_MANAGED_JOB_ID
flock -n 9 || echo $SKYNB_MANAGED_JOB_ID >>$RECORDS/overlaps
echo begin $(date +%s.%N) >>$RECORDS/log-$SKYNB_MANAGED_JOB_ID
sleep $((150 + RANDOM % 150))
echo end $(date +%s.%N) >>$RECORDS/log-$SKYNB_MANAGED_JOB_ID
"""


class Fate:
    """Kills, one after the other, what a seed chooses; `lost` says which job lost its machine, and when."""

    def __init__(self, here: Site, seed: int) -> None:
        self._here = here
        self._random = random.Random(seed)
        self.lost: list[tuple[str, float]] = []

    def strike(self) -> bool:
        """False if there was nothing to kill."""
        deed = self._random.choices([self._machine, self._agent, self._server], [5, 3, 2])[0]
        return deed()

    def pause(self) -> float:
        """Seconds to the next one."""
        return self._random.uniform(1.0, 3.0)

    def _places(self) -> list[Path]:
        return sorted((self._here.home / "local").glob("local-*"))

    def _machine(self) -> bool:
        """The init first, as a power cut has no order that others could rely on."""
        places = self._places()
        if not places:
            return False
        place = self._random.choice(places)
        try:
            card = msgspec.json.decode((place / "machine.json").read_bytes())
            os.kill(card["init_pid"], signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return False
        processes.end_marked(f"SKYNB_LOCAL_MACHINE={place.name}", grace_s=0)
        self.lost.append((card["tags"]["skynb-cluster"], time.time()))
        return True

    def _agent(self) -> bool:
        places = self._places()
        if not places:
            return False
        place = self._random.choice(places)
        for pid in processes.marked(f"SKYNB_LOCAL_MACHINE={place.name}"):
            try:
                if b"agent.pyz" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    return True
            except (FileNotFoundError, ProcessLookupError):
                continue
        return False

    def _server(self) -> bool:
        if server.card() is None:
            return False
        self._here.kill_server()
        return True


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_fifty_jobs_survive_a_hundred_kills(tmp_path):
    """Each ends once and well, no two attempts ever work at once, and nothing is left."""
    with site() as here:
        task = {
            "name": "work",
            "resources": {"infra": "local"},
            "envs": {"RECORDS": str(tmp_path)},
            "run": SCRIPT,
        }
        numbers = jobs.launch(task, num_jobs=JOBS).job_ids
        until(lambda: len(list(tmp_path.glob("log-*"))) == JOBS, 180)
        fate, kills = Fate(here, seed=6), 0
        while kills < KILLS:
            kills += fate.strike()
            time.sleep(fate.pause())
            assert not all(job.final for job in jobs.queue(job_ids=numbers)), f"over after {kills} kills"
        until(lambda: all(job.closed for job in jobs.queue(job_ids=numbers)), 1200)
        found = jobs.queue(job_ids=numbers)
        assert {job.status for job in found} == {"SUCCEEDED"}
        assert not (tmp_path / "overlaps").exists()
        for job in found:
            lines = (tmp_path / f"log-{job.id}").read_text().split()[::2]
            assert lines.count("end") >= 1
            assert lines.count("begin") <= len(job.tasks[0].attempts)
        first = [(cluster, at) for cluster, at in fate.lost if "-r" not in cluster]
        print(f"\nfirst losses, before anything waits on purpose: {_told(first, tmp_path)}")
        print(f"all losses: {_told(fate.lost, tmp_path)}")


def _told(lost: list[tuple[str, float]], records: Path) -> str:
    """How long it took from the loss of a machine to the next beginning of its job's work."""
    taken = []
    for cluster, at in lost:
        words = (records / f"log-{cluster.removeprefix('work-').partition('-')[0]}").read_text().splitlines()
        begins = [float(line.split()[1]) for line in words if line.startswith("begin")]
        if any(begin < at for begin in begins) and (later := [begin - at for begin in begins if begin > at]):
            taken.append(min(later))
    median, most = quantiles(taken, n=20)[9], quantiles(taken, n=20)[18]
    return f"{len(taken)}, median {median:.1f} s, p95 {most:.1f} s"
