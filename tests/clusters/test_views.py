"""What people see, and how many questions the ledger is asked for it."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import event

from skynb.control.ledger import Ledger
from skynb.control.records import Event, Record, SpendEntry
from skynb_clusters import views
from skynb_clusters.naming import node_id
from skynb_clusters.records import ClusterSpec, NodeSpec, NodeState, Offer

OFFER = Offer(cloud="x", instance_type="small", hourly_micro=2_000_000)


@pytest.fixture
def ledger(tmp_path, clock):
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield made
    made.close()


def fill(ledger: Ledger, clusters: int, nodes: int) -> None:
    spec = msgspec.json.encode(ClusterSpec(num_nodes=nodes, offers=(OFFER,), plan_hash="h"))
    common = {"owner": "me", "status": "UP", "target": "UP"}
    with ledger.transaction() as tx:
        for number in range(clusters):
            one = Record(
                id=f"cluster-{number}", kind="cluster", name=f"c{number}", parent=None, spec=spec, **common
            )
            tx.insert(one)
            for rank in range(nodes):
                slot = {"spec": NodeSpec(rank=rank), "state": NodeState(address=f"10.0.{number}.{rank}")}
                facts = {"id": node_id(one.id, rank), "kind": "node", "name": str(rank), "parent": one.id}
                tx.insert(
                    Record(
                        **facts, **common, **{key: msgspec.json.encode(value) for key, value in slot.items()}
                    )
                )
            tx.append(Event("told"), record=one.id, scope=one.id)
            tx._spend(
                SpendEntry(entry="reserve", micro_usd=100 + number), record=node_id(one.id, 0), scope=one.id
            )
            tx._spend(SpendEntry(entry="settle", micro_usd=40, begin=0.0, end=1.0), record="n", scope=one.id)


def questions(ledger: Ledger) -> tuple[int, list]:
    count = 0

    def asked(*_):
        nonlocal count
        count += 1

    event.listen(ledger.engine, "before_cursor_execute", asked)
    with ledger.read() as tx:
        found = views.cluster_infos(tx, tx.find_all("cluster"))
    event.remove(ledger.engine, "before_cursor_execute", asked)
    return count, found


def test_many_clusters_cost_no_more_questions_than_one(ledger, tmp_path, clock):
    """A listing asks three times for one cluster and three times for three hundred."""
    fill(ledger, 300, 1)
    few = Ledger(f"sqlite:///{tmp_path / 'few.db'}", clock)
    fill(few, 1, 1)
    many, found = questions(ledger)
    assert len(found) == 300
    assert many == questions(few)[0]
    few.close()


def test_nodes_and_money_are_with_their_cluster(ledger):
    """Each cluster has its own nodes in order, its own bill, and looks the same alone."""
    fill(ledger, 3, 2)
    _, found = questions(ledger)
    assert [[node.address for node in one.nodes] for one in found][1] == ["10.0.1.0", "10.0.1.1"]
    assert [(one.settled_micro, one.reserved_micro) for one in found] == [(40, 60), (40, 61), (40, 62)]
    with ledger.read() as tx:
        assert views.cluster_info(tx, tx.find("cluster", "c2")) == found[2]
        assert views.cluster_infos(tx, []) == []
