"""Killed at any moment, started again: no process leaks, no job is lost, none runs twice.

A small life (launch on two nodes, a second job, down) is lived on real processes; at a named moment of it
something is killed with SIGKILL. What a person would do then is done: ask again, and `start` a cluster
that says it is not whole.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.site import Site, site, until

LINES = 12
RUN = 'echo run >> "$RUNS/$TASK-$SKYNB_NODE_RANK"; for i in $(seq 12); do echo $i; sleep 0.1; done'
SETUP = 'echo setup >> "$RUNS/setup-$SKYNB_SETUP_NODE_RANK"'
FINAL = {"SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"}

USUAL = [
    ("server", "cluster.launch"),
    ("server", "node.created"),
    ("server", "job.status RUNNING"),
    ("server", "cluster.down"),
    ("agent0", "job.status RUNNING"),
    ("machine0", "job.status RUNNING"),
    ("rank", "job.status RUNNING"),
    ("server machine0 machine1", "job.status RUNNING"),
]
OTHERS = [
    ("server", "node.create"),
    ("server", "cluster.up"),
    ("agent0", "cluster.up"),
    ("agent1", "job.status RUNNING"),
    ("machine1", "node.created"),
    ("server agent0 agent1", "job.status RUNNING"),
    ("server", "node.up"),
    ("server", "job.submit"),
    ("server", "job.status SETTING_UP"),
    ("server", "job.status SUCCEEDED"),
    ("server", "node.end"),
    ("agent0", "node.created"),
    ("agent0", "job.status SETTING_UP"),
    ("agent0", "job.status SUCCEEDED"),
    ("agent0", "cluster.down"),
    ("agent1", "node.created"),
    ("machine0", "node.created"),
    ("machine0", "cluster.down"),
    ("machine1", "job.status RUNNING"),
]
POINTS = [*USUAL, *(pytest.param(*point, marks=pytest.mark.long) for point in OTHERS)]
ENDS_JOBS = ("machine", "rank")  # these take the job's own processes with them


class Fate(threading.Thread):
    """Watches the history and strikes once, at its moment."""

    def __init__(self, here: Site, victims: str, moment: str) -> None:
        super().__init__(daemon=True)
        self._here = here
        self._victims = victims.split()
        self._moment = moment
        self._history = here.http.stream("/events")
        self.struck = threading.Event()

    def run(self) -> None:
        for event in self._history:
            status = event.data["data"].get("status")
            if self._moment in {event.name, f"{event.name} {status}"}:
                for victim in self._victims:
                    self._kill(victim)
                self.struck.set()
                self.close()

    def close(self) -> None:
        """Look no further: a reader that lives on would start the server again."""
        self._history.close()

    def _kill(self, victim: str) -> None:
        kind, rank = victim.rstrip("01"), int(victim[-1]) if victim[-1] in "01" else 1
        deeds = {
            "server": lambda: self._here.kill_server() or True,
            "agent": lambda: self._here.kill_agent(rank),
            "machine": lambda: self._here.power_off(rank),
            "rank": lambda: self._here.kill_rank(rank, "run.sh"),
        }
        deadline = time.monotonic() + 5
        while not deeds[kind]() and time.monotonic() < deadline:
            time.sleep(0.01)  # the victim is not born yet


def settled(here: Site, number: int):
    """The job once it is final; meanwhile a cluster that is not whole is started, as its reason says."""

    def look():
        cluster = here.cluster("c")
        broken = "`start` repairs it" in cluster.reason or cluster.status == "STOPPED"
        if broken and cluster.target != "TERMINATED":
            here.post("/clusters/c/start")
        job = here.job("c", number)
        return job if job.status in FINAL else None

    return until(look, 60)


def runs(folder: Path, task: str) -> list[int]:
    """How often each rank's script began."""
    return [
        (folder / f"{task}-{rank}").read_text().count("run") if (folder / f"{task}-{rank}").exists() else 0
        for rank in range(2)
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("victims", "moment"), POINTS)
def test_killed_at_this_moment_it_converges(victims, moment, tmp_path):
    """G1, G2, G5, G8, G10: each job has one verdict and ran at most once; a success has its whole log."""
    with site() as here, closing(Fate(here, victims, moment)) as fate:
        fate.start()
        envs = {"RUNS": str(tmp_path)}
        first = here.launch("c", num_nodes=2, setup=SETUP, run=RUN, envs=envs | {"TASK": "a"}).job
        jobs = {"a": settled(here, first)}
        second = here.exec("c", num_nodes=2, run=RUN, envs=envs | {"TASK": "b"})
        jobs["b"] = settled(here, second)
        until(lambda: all(job.logs_complete for job in here.jobs("c")), 60)
        here.down("c")
        until(lambda: here.cluster("c").final, 60)
        assert fate.struck.wait(10), "the moment never came"
        for task, job in jobs.items():
            counts = runs(tmp_path, task)
            assert max(counts) <= 1, f"{task} ran twice: {counts}"
            after = here.job("c", job.id)
            assert (after.status, after.exit_codes) == (job.status, job.exit_codes), "a verdict changed"
            if job.status == "SUCCEEDED":
                assert counts == [1, 1]
                whole = "".join(f"{number}\n" for number in range(1, LINES + 1))
                assert [here.log("c", job.id, rank) for rank in range(2)] == [whole, whole]
            else:
                assert job.reason, "a failure says why"
        if not any(victim.startswith(ENDS_JOBS) for victim in victims.split()):
            assert [job.status for job in jobs.values()] == ["SUCCEEDED", "SUCCEEDED"]
        assert here.cluster("c").status == "TERMINATED"
