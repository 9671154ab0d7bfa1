"""Forgotten machines, on this machine and on a simulated cloud: found, shown, ended."""

import msgspec
import pytest

from skynb.client import sdk
from skynb.errors import ConflictError, NotFoundError
from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.local import LocalProvider
from skynb_clusters.providers.sim.faults import parse_faults
from tests.support.simulation import Simulation
from tests.support.site import Site, site, until
from tests.support.workflows import BRISK, NAME


@pytest.fixture(scope="module")
def here():
    with site() as made:
        made.launch("kept", run="sleep 300")
        made.launch("over", run="true")
        for name in ("kept", "over"):
            until(lambda name=name: made.cluster(name).status == "UP", 60)
        yield made


def stray(here: Site, record: str) -> str:
    """A machine of this server's that its ledger does not lead to, as `INFRA:ID`."""
    [card] = [msgspec.json.decode((place / "machine.json").read_bytes()) for place in _places(here, "kept")]
    tags = {**card["tags"], "skynb-record": record, "skynb-cluster": "stray"}
    provider = LocalProvider(here.home / "local")
    request = NodeRequest(token=f"stray-{record}", name="stray", tags=tags, instance_type="local")
    return f"local:{provider.create(request).id}"


def record_of(here: Site, name: str) -> str:
    [place] = _places(here, name)
    return str(msgspec.json.decode((place / "machine.json").read_bytes())["tags"]["skynb-record"])


def _places(here: Site, name: str):
    for place in (here.home / "local").glob("local-*"):
        card = msgspec.json.decode((place / "machine.json").read_bytes())
        if card["tags"]["skynb-cluster"] == name:
            yield place


def test_what_nobody_knows_is_shown_and_ended_on_request(here):
    """The machines of a live cluster are not among them, and cannot be reaped."""
    name = stray(here, "node-lost-0")
    [found] = sdk.forgotten()
    assert (found.name, found.claim, found.hourly_micro) == (name, "unknown", 0)
    [mine] = [one for one in sdk.forgotten(every=True) if one.cluster == "kept"]
    assert mine.claim == "claimed"
    with pytest.raises(ConflictError) as refused:
        sdk.reap([name, mine.name])
    assert "UP" in refused.value.why
    assert [one.name for one in sdk.forgotten()] == [name], "nothing is ended by half"
    assert sdk.reap() == [name]
    assert list(sdk.forgotten()) == []
    assert here.cluster("kept").status == "UP"
    with pytest.raises(NotFoundError):
        sdk.reap(name)


def test_the_server_ends_what_its_ledger_has_let_go_of(here):
    """At its start it looks; a machine of an ended cluster goes, one that no ledger knows stays."""
    over = record_of(here, "over")
    here.down("over")
    until(lambda: not list(_places(here, "over")), 60)
    unknown, let_go = stray(here, "node-lost-1"), stray(here, over)
    here.kill_server()
    until(lambda: let_go not in [one.name for one in sdk.forgotten()], 60)
    assert [one.name for one in sdk.forgotten()] == [unknown]
    assert here.cluster("kept").status == "UP"
    assert sdk.reap() == [unknown]


def test_a_machine_that_rises_again_is_ended():
    """Nothing points to it any more but its tags; two looks, a consistency window apart, are enough."""
    with Simulation(faults=parse_faults("zombie times=1"), terms=BRISK) as simulation:
        simulation.launch(NAME, run="true")
        simulation.sleep(30)
        simulation.down(NAME)
        simulation.until(lambda: simulation.status(NAME) == "TERMINATED")
        simulation.sleep(60)
        [zombie] = simulation.living()
        window = simulation.reap()
        assert simulation.living() == [zombie], "one look is not enough"
        simulation.sleep(window)
        simulation.reap()
        simulation.sleep(60)
        assert simulation.living() == []
        assert simulation.events().count("machine.reaped") == 1
