"""Bugs that other systems' managed jobs had, replayed on a simulated cloud in virtual time."""

from __future__ import annotations

import pytest

from skynb_clusters.providers.sim.faults import parse_faults
from skynb_jobs.records import FINAL
from tests.support.managed_workflows import MACHINES, NAME
from tests.support.simulation import LEASE, Simulation
from tests.support.workflows import BRISK, promises


@pytest.fixture
def home():
    with Simulation(terms=BRISK) as made:
        yield made


def faulty(faults: str) -> Simulation:
    return Simulation(terms=BRISK, faults=parse_faults(faults))


def running(home: Simulation, count: int = 1, name: str = NAME) -> None:
    home.until(lambda: [job.status for job in home.managed_jobs(name)].count("RUNNING") == count)


def over(home: Simulation, name: str = "*") -> list[str]:
    """Wait until nothing of any job is left, hold the promises, and say how each ended."""
    home.until(lambda: all(job.final for job in home.managed_jobs(name)))
    home.sleep(2 * LEASE.presence_s)
    assert list(promises(home)) == []
    return [job.status for job in home.managed_jobs(name)]


def hide(home: Simulation, mute: bool = True) -> None:
    """No machine can be reached, or all again."""
    for unit in home.world.memory.units.values():
        if mute:
            unit.marks["mute"] = 1.0
        else:
            unit.marks.pop("mute", None)


def test_skypilot_10155_a_night_of_time_outs_recovers_nothing(home):
    """Time-outs never reset a window and a healthy training was recovered 24 times. Unseen is not lost."""
    home.managed(NAME, {"run": "sleep 18000"})
    running(home)
    for _ in range(25):
        hide(home)
        home.sleep(600)
        hide(home, mute=False)
        home.sleep(60)
    job = home.managed_info(NAME)
    assert (job.status, job.recoveries) == ("RUNNING", 0)
    assert over(home) == ["SUCCEEDED"]


def test_skypilot_6133_a_cut_at_the_end_runs_nothing_again(home):
    """A job that had succeeded behind a cut ran again. The node's word counts once it is heard."""
    home.managed(NAME, {"run": "sleep 100"})
    running(home)
    hide(home)
    home.sleep(300)
    assert home.managed_info(NAME).status == "RUNNING"
    hide(home, mute=False)
    assert over(home) == ["SUCCEEDED"]
    assert home.managed_info(NAME).recoveries == 0


def test_skypilot_7707_a_restart_changes_no_running_job(home):
    """A controller's restart failed 199 jobs at once. Here it is boring."""
    home.managed(NAME, {"run": "sleep 3000"}, num_jobs=25)
    running(home, 25)
    before = {job.name: job.version for job in home.managed_jobs(NAME)}
    home.kill_server(away_s=120)
    home.sleep(300)
    jobs = home.managed_jobs(NAME)
    assert {job.status for job in jobs} == {"RUNNING"}
    assert {job.name: job.version for job in jobs} == before
    home.cancel_managed(NAME)
    assert over(home) == ["CANCELLED"] * 25


@pytest.mark.parametrize("state", ["PENDING", "STARTING", "RUNNING", "RECOVERING"])
def test_skypilot_pr_9868_a_cancel_without_a_server_is_not_lost(state):
    """A cancel without a controller was lost, and FAILED overwrote SUCCEEDED. What is asked is durable."""
    with faulty("preempted-unannounced times=1 value=40" if state == "RECOVERING" else "") as home:
        home.managed(NAME, {"run": "sleep 3000"})
        home.until(lambda: home.managed_info(NAME).status == state)
        home.cancel_managed(NAME)
        home.kill_server(away_s=300)
        assert over(home) == ["CANCELLED"]


def test_skypilot_pr_10061_a_dead_controller_harms_no_work(home):
    """Its death tore a healthy workload down. Away for less than a lease, nothing happens."""
    home.managed(NAME, {"run": "sleep 900"})
    running(home)
    home.kill_server(away_s=1800)
    assert over(home) == ["SUCCEEDED"]
    assert home.managed_info(NAME).recoveries == 0


def test_skypilot_5031_each_job_has_its_own_verdict():
    """Most of 200 spot jobs ended as failures of the controller. Here each ends as its own work does."""
    with faulty(
        "agent-dies chance=0.3; preempted-unannounced chance=0.3 value=90; create-500 chance=0.2"
    ) as home:
        for number in range(24):
            fails = " && false" if number % 4 == 0 else ""
            home.managed(f"one-{number}", {"run": f"sleep {20 + number}{fails}", "resources": MACHINES})
        home.until(lambda: all(job.status in FINAL for job in home.managed_jobs("*")))
        home.calm()
        assert sorted(over(home)) == ["FAILED"] * 6 + ["SUCCEEDED"] * 18


def test_dstack_3130_a_finished_run_never_starts_again():
    """A finished run started again, several times. Final is final, whatever its machines do."""
    with faulty("slow-terminate; host-fails value=60") as home:
        home.managed(NAME, {"run": "sleep 5", "num_nodes": 2})
        home.until(lambda: home.managed_info(NAME).status == "SUCCEEDED")
        home.kill_server(away_s=30)
        assert over(home) == ["SUCCEEDED"]
        assert home.managed_info(NAME).recoveries == 0


def test_dstack_2068_a_run_cancelled_while_machines_come_frees_them(home):
    """An instance stayed busy for ever. A cancel in any second of a launch leaves nothing."""
    for second in range(6):
        home.managed(f"soon-{second}", {"run": "sleep 500"})
        home.sleep(second)
        home.cancel_managed(f"soon-{second}")
    assert over(home) == ["CANCELLED"] * 6


def test_kuberay_3860_a_lost_head_ends_or_resumes_the_job():
    """The job read "running" for ever and the cluster billed. Here another attempt takes it over."""
    with faulty("machine-vanishes times=1 value=60") as home:
        home.managed(NAME, {"run": "sleep 300", "num_nodes": 2})
        home.until(lambda: home.managed_info(NAME).closed)
        job = home.managed_info(NAME)
        assert (job.status, job.recoveries) == ("SUCCEEDED", 1)
        assert home.living() == []


def test_skypilot_8563_a_drought_ends_and_the_job_goes_on():
    """Recovery looped on an assertion over a stale row. Without machines it waits, and says so."""
    with faulty("preempted-unannounced times=1 value=60; no-capacity after=50 until=4000") as home:
        home.managed(NAME, {"run": "sleep 300"})
        home.sleep(2000)
        job = home.managed_info(NAME)
        assert job.status == "RECOVERING"
        assert "again in" in job.reason or "room" in job.reason or "free" in job.reason, job.reason
        assert over(home) == ["SUCCEEDED"]
