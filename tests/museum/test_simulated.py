"""Bugs of other systems that a whole server could repeat, replayed on a simulated cloud in virtual time."""

from __future__ import annotations

import re

import pytest

from skynb_clusters import views
from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.records import ClusterSpec
from tests.support.house import ROOT, UNPICKLING
from tests.support.simulation import LEASE, At, Simulation
from tests.support.workflows import BRISK, ENDED, NAME, finish, promises


@pytest.fixture
def home():
    with Simulation(terms=BRISK) as made:
        yield made


def up(home: Simulation, **task) -> None:
    home.launch(NAME, **task)
    home.until(lambda: home.status(NAME) == "UP")


def running(home: Simulation, count: int = 1) -> None:
    home.until(lambda: [job.status for job in home.jobs(NAME)].count("RUNNING") == count)


def cut(home: Simulation, mute: bool = True) -> None:
    """Nobody reaches the machines any more, or again."""
    for unit in home.world.memory.units.values():
        if mute:
            unit.marks["mute"] = 1.0
        else:
            unit.marks.pop("mute", None)


def kept(home: Simulation) -> None:
    finish(home)
    assert list(promises(home)) == []


def statuses(home: Simulation) -> list[str]:
    return [job.status for job in home.jobs(NAME)]


def test_skypilot_6787_a_lost_connection_changes_no_status(home):
    """A lost SSH connection removed a record. Here silence is told, and nothing else happens."""
    up(home, num_nodes=2)
    before = home.living()
    cut(home)
    home.sleep(300)
    assert home.status(NAME) == "UP"
    assert "agent.silent" in home.events()
    cut(home, mute=False)
    home.sleep(60)
    assert home.living() == before
    kept(home)


def test_skypilot_pr10061_the_death_of_the_controller_leaves_the_work(home):
    """A dead controller tore a healthy workload down. Here the job ends as if nothing had happened."""
    up(home, run="sleep 90")
    running(home)
    home.kill_server(away_s=60)
    home.until(lambda: statuses(home) == ["SUCCEEDED"])
    kept(home)


def test_skypilot_6133_a_success_behind_a_cut_network_counts(home):
    """A job that had succeeded while the network was cut ran again. Here the node's word wins."""
    up(home, run="sleep 30")
    running(home)
    cut(home)
    home.sleep(120)
    cut(home, mute=False)
    home.until(lambda: statuses(home) == ["SUCCEEDED"])
    assert len(home.agents.runs) == 1
    kept(home)


def test_skypilot_7707_a_restart_fails_no_running_job(home):
    """A restart of the controller failed 199 jobs at once. Here none changes its state."""
    up(home)
    for _ in range(6):
        home.exec(NAME, run="sleep 600")
    running(home, 6)
    home.kill_server(away_s=30)
    home.sleep(60)
    assert statuses(home) == ["RUNNING"] * 6
    home.until(lambda: statuses(home) == ["SUCCEEDED"] * 6)
    kept(home)


def test_skypilot_pr9868_a_cancel_without_a_controller_is_not_lost(home):
    """A cancel was lost, and a later word overwrote a final state. Here it is durable, and final is final."""
    up(home, run="sleep 900")
    running(home)
    home.cancel(NAME)
    home.kill_server(away_s=60)
    home.until(lambda: statuses(home) == ["CANCELLED"])
    home.down(NAME)
    home.until(lambda: home.status(NAME) in ENDED)
    assert statuses(home) == ["CANCELLED"]
    kept(home)


def test_skypilot_5946_a_stop_and_a_start_keep_the_autostop(home):
    """A flip of the status wiped the setting. Here it is a wish of the cluster, and applied again."""
    up(home)
    home.autostop(NAME, 5)
    home.stop(NAME)
    home.until(lambda: home.status(NAME) == "STOPPED")
    home.start(NAME)
    home.until(lambda: home.status(NAME) == "UP")
    assert home.cluster(NAME).spec_as(ClusterSpec).autostop.idle_minutes == 5
    home.until(lambda: home.status(NAME) == "STOPPED", 900)
    kept(home)


def test_dstack_890_each_job_winds_the_idle_clock_up_again(home):
    """The idle timer of the first job stopped the second. Here the time counts from the last work."""
    up(home)
    home.autostop(NAME, 3)
    home.sleep(150)
    home.exec(NAME, run="sleep 10")
    home.sleep(120)
    assert home.status(NAME) == "UP"
    home.until(lambda: home.status(NAME) == "STOPPED", 900)
    kept(home)


def test_nebari_2508_an_unknown_signal_is_busy(home):
    """A culler ended users at work. Here a head that cannot be asked is not called idle."""
    up(home)
    home.autostop(NAME, 2)
    home.sleep(30)
    cut(home)
    home.sleep(400)
    assert home.status(NAME) == "UP"
    cut(home, mute=False)
    kept(home)


def test_skypilot_904_a_view_says_how_old_it_is(home):
    """Nobody knew that a status was old. Here every node carries the time of the last real look."""
    up(home)
    home.sleep(60)

    def seen() -> float:
        with home.ledger.read() as tx:
            return views.cluster_info(tx, home.cluster(NAME)).observed_at

    assert home.clock.now() - seen() < 15
    cut(home)
    home.sleep(120)
    assert home.clock.now() - seen() > 100
    cut(home, mute=False)
    kept(home)


def test_dstack_494_an_end_from_outside_is_seen_and_told(home):
    """A machine that was ended in the console was shown as running. Here every face tells the same."""
    up(home, num_nodes=2)
    unit = home.world.unit(home.living()[1])
    unit.plan(home.clock.now(), "preempt")
    home.until(lambda: "cluster.hurt" in home.events(), 120)
    with home.ledger.read() as tx:
        info = views.cluster_info(tx, home.cluster(NAME))
    assert [node.status for node in info.nodes].count("UP") == 1
    assert "lost" in " ".join(node.reason for node in info.nodes)
    kept(home)


def test_skypilot_2768_the_lease_is_part_of_the_creation(home):
    """Autostop came only once all was up. Here every machine is born with its owner and its lease's end."""
    home.launch(NAME, num_nodes=3)
    home.until(lambda: len(home.living()) == 3)
    for unit in home.world.memory.units.values():
        assert float(unit.tags["skynb-lease-until"]) >= unit.created_at
        assert unit.tags["skynb-owner"]
    kept(home)


def test_dstack_707_one_token_is_one_machine_also_after_a_restart(home):
    """Two instances ran for one job. Here the token is the intent, whoever asks again."""
    tags = {"skynb-owner": "owner", "skynb-record": "node-a-0"}
    request = NodeRequest(
        token="t", name="a", tags=tags, instance_type="g5.xlarge", region="aws/us-east-1", limit_s=60
    )
    first = home.world.create(request)
    home.kill_server()
    assert home.world.create(request).id == first.id
    home.sleep(120)


def test_dstack_3453_a_kill_between_creation_and_commit_leaves_no_orphan():
    """An instance was made and never written down. Here the intent is there first, and adopts it."""
    with Simulation(terms=BRISK) as calm:
        up(calm)
        number = calm.points.index("cloud create")
    with Simulation(terms=BRISK, crash=[At(number, "after")], away_s=30) as home:
        up(home)
        assert len(home.world.memory.units) == 1
        kept(home)


@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.0, 2.0, 3.0, 5.0])
def test_dstack_2677_a_restart_in_any_state_converges(home, after_s):
    """A record stuck in provisioning after a restart. Here each verb gets there, restarted anywhere."""
    for verb, status in (("launch", "UP"), ("stop", "STOPPED"), ("start", "UP"), ("down", "TERMINATED")):
        getattr(home, verb)(NAME)
        home.sleep(after_s)
        home.kill_server(away_s=10)
        home.until(lambda status=status: home.status(NAME) == status)
    kept(home)


def test_crabbox_761_a_machine_without_a_recorded_id_is_released():
    """A created server whose id was never recorded could not be released. Here its token finds it."""
    with Simulation(terms=BRISK, faults=parse_faults("create-response-lost times=1")) as home:
        home.launch(NAME)
        home.until(lambda: home.world.memory.units)
        home.down(NAME)
        home.until(lambda: home.status(NAME) in ENDED)
        kept(home)


def test_crabbox_117_a_node_ends_by_itself_when_its_server_never_comes_back(home):
    """A machine lived 18 hours past its limit. Here the node's own lease ends it, work or not."""
    up(home, run="sleep 9000000")
    running(home)
    home.kill_server(away_s=LEASE.envelope_s + 600)
    assert home.living() == []


def test_openclaw_124546_a_server_that_looks_renews_the_lease(home):
    """A timer that was never refreshed ended machines in use. Here looking at a node is using it."""
    up(home)
    before = home.living()
    home.sleep(5 * LEASE.presence_s)
    assert (home.status(NAME), home.living()) == ("UP", before)
    kept(home)


def test_skypilot_6743_nothing_is_pickled():
    """A renamed class made rows unreadable. Here rows are JSON, and one file on nodes alone knows pickle."""
    parts = ("skynb", "clusters", "agent", "catalog", "magics", "jupyter_extension")
    sources = [path for name in parts for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 100
    pickling = re.compile(r"^\s*(import|from) (pickle|cloudpickle|dill|marshal|shelve)\b", re.MULTILINE)
    assert {path for path in sources if pickling.search(path.read_text())} == UNPICKLING
