"""A ledger that was lost, had again from tags and agents: on this machine and on a simulated cloud."""

import shutil

import pytest

from skynb.client import sdk
from skynb.errors import ConflictError, NotFoundError
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.records import ClusterSpec
from tests.support.simulation import Simulation
from tests.support.site import Site, site, until
from tests.support.workflows import BRISK, NAME, finish, promises


def lose_ledger(here: Site) -> None:
    here.kill_server()
    for rest in here.home.glob("ledger.db*"):
        rest.unlink()


def test_a_lost_ledger_comes_back_with_its_clusters_and_jobs():
    with site() as here:
        here.launch("lost", num_nodes=2, run="echo began; sleep 300")
        here.launch("idle")
        assert sdk.autostop("idle", 30, down=True).autostop is not None
        until(lambda: here.job("lost", 1).status == "RUNNING", 60)
        until(lambda: here.cluster("idle").status == "UP", 60)
        before = sorted(place.name for place in (here.home / "local").glob("local-*"))
        lose_ledger(here)
        assert here.clusters() == []
        assert {one.claim for one in sdk.forgotten()} == {"unknown"}

        done = sdk.rebuild()
        assert (sorted(done.clusters), done.left, done.blind) == (["idle", "lost"], {}, [])
        until(lambda: {one.status for one in here.clusters()} == {"UP"}, 60)
        until(lambda: [(job.id, job.status) for job in here.jobs("lost")] == [(1, "RUNNING")], 60)
        until(lambda: here.log("lost", 1, follow=False).count("began") == 2, 60)
        assert here.cluster("idle").autostop == sdk.status(["idle"])[0].autostop is not None
        assert sorted(place.name for place in (here.home / "local").glob("local-*")) == before
        assert sdk.rebuild().clusters == [], "done twice, it does nothing"
        assert list(sdk.forgotten()) == []
        assert "had it written again" in str(sdk.why_cluster("lost"))

        assert here.exec("lost", run="echo more") == 2
        here.down("lost")
        here.down("idle")
        until(lambda: not list((here.home / "local").glob("local-*")), 60)


def test_another_home_takes_over_the_name_of_a_server_that_is_gone(tmp_path):
    """Home and all are lost: only machines are left, and their owner's name in the tags."""
    with site() as here:
        here.launch("orphan", run="sleep 300")
        until(lambda: here.job("orphan", 1).status == "RUNNING", 60)
        owner = (here.home / "server-id").read_text()
        lose_ledger(here)
        (here.home / "server-id").unlink()
        shutil.rmtree(here.home / "secrets")
        [found] = sdk.strangers()
        assert (found.claim, found.owner) == ("others", owner)
        with pytest.raises(ConflictError, match="short time ago"):
            sdk.rebuild(owner=owner)
        with pytest.raises(NotFoundError, match="nobody"):
            sdk.rebuild(owner="nobody")
        with pytest.raises(ConflictError, match="cannot be adopted"):
            sdk.rebuild(found.name)

        here.kill_server()
        [card] = (here.home / "local").glob("local-*/machine.json")
        tags = card.read_text()
        stamp = tags.partition('"skynb-lease-until":"')[2].partition('"')[0]
        card.write_text(tags.replace(stamp, "1000000000"))
        assert [one.claim for one in sdk.strangers()] == ["lapsed"]
        assert sdk.rebuild(owner=owner).clusters == ["orphan"]
        until(lambda: here.cluster("orphan").status == "UP", 60)
        until(lambda: [job.status for job in here.jobs("orphan")] == ["RUNNING"], 60)
        here.kill_server()
        assert here.cluster("orphan").name == "orphan", "and it keeps the name"
        here.down("orphan")
        until(lambda: not list((here.home / "local").glob("local-*")), 60)


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_simulated_cloud_gives_back_what_runs_and_the_bill_of_it(nodes):
    with Simulation(terms=BRISK) as simulation:
        simulation.launch(NAME, num_nodes=nodes, run="sleep 600")
        simulation.until(lambda: any(job.status == "RUNNING" for job in simulation.jobs(NAME)))
        before = {node.id: node.generation for node in simulation.nodes(NAME)}
        simulation.lose_ledger()
        assert simulation.rebuild().clusters == (NAME,)
        assert {node.id: node.generation for node in simulation.nodes(NAME)} == before
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.until(lambda: [job.status for job in simulation.jobs(NAME)] == ["SUCCEEDED"])
        finish(simulation)
        assert list(promises(simulation)) == []


def test_a_stopped_cluster_comes_back_stopped_and_numbers_its_jobs_past_those_unknown():
    with Simulation(terms=BRISK) as simulation:
        simulation.launch(NAME, run="sleep 5", budget_micro=9_000_000)
        simulation.until(lambda: [job.status for job in simulation.jobs(NAME)] == ["SUCCEEDED"])
        simulation.stop(NAME)
        simulation.until(lambda: simulation.status(NAME) == "STOPPED")
        simulation.lose_ledger()
        assert simulation.rebuild().clusters == (NAME,)
        simulation.sleep(120)
        assert simulation.status(NAME) == "STOPPED"
        assert simulation.cluster(NAME).spec_as(ClusterSpec).budget_micro == 9_000_000
        simulation.start(NAME)
        simulation.exec(NAME, run="sleep 5")
        simulation.until(lambda: len(simulation.jobs(NAME)) == 2)
        simulation.until(lambda: {job.status for job in simulation.jobs(NAME)} == {"SUCCEEDED"})
        assert sorted(int(job.name) for job in simulation.jobs(NAME)) == [1, 1001]
        finish(simulation)
        assert simulation.living() == []


def test_nothing_is_written_of_a_gang_that_cannot_be_seen_whole():
    """What is not seen may run; a slot without its machine would be rented again by `start`."""
    with Simulation(terms=BRISK) as simulation:
        simulation.launch(NAME, num_nodes=2)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        hidden = simulation.living()[1]
        simulation.lose_ledger()
        look = simulation.provider.list

        def half(tags, region=None):
            seen = look(tags, region)
            machines = tuple(one for one in seen.machines if one.id != hidden)
            return type(seen)(machines, ("somewhere",))

        simulation.provider.list = half
        done = simulation.rebuild()
        assert done.clusters == ()
        assert "1 of 2 nodes" in next(iter(done.left.values()))
        simulation.provider.list = look
        assert simulation.rebuild().clusters == (NAME,)
        finish(simulation)
        assert list(promises(simulation)) == []


def test_a_gang_that_lost_a_machine_comes_back_hurt_and_is_repaired():
    with Simulation(terms=BRISK) as simulation:
        simulation.launch(NAME, num_nodes=2)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.world.terminate(simulation.living()[1])
        simulation.lose_ledger()
        simulation.sleep(60)
        assert simulation.rebuild().clusters == (NAME,)
        simulation.until(lambda: "`start` repairs it" in simulation.cluster(NAME).reason)
        simulation.start(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        assert len(simulation.living()) == 2
        finish(simulation)
        assert simulation.living() == []


def test_machines_with_strange_tags_are_left_and_said():
    with Simulation(terms=BRISK, faults=parse_faults("")) as simulation:
        simulation.launch(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        [unit] = [one for one in simulation.world.memory.units.values() if one.state == "running"]
        true = unit.tags["skynb-record"]
        unit.tags["skynb-record"] = "node-../../etc-0"
        simulation.lose_ledger()
        done = simulation.rebuild()
        assert done.clusters == ()
        assert "do not say which node" in done.left[f"sim:{unit.id}"]
        unit.tags |= {"skynb-record": true, "skynb-authority": "../../ledger.db", "skynb-nodes": "x"}
        assert simulation.rebuild().clusters == (NAME,)
        finish(simulation)
        assert simulation.living() == []
