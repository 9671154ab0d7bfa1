"""What commands return, as text, HTML and JSON."""

import json

import pytest

from skynb.client.listings import Charges, Checks, Clusters, Costs, Dasks, Events, Jobs, Servers
from skynb.wire import (
    AutostopRequest,
    ChargeInfo,
    CheckInfo,
    ClusterInfo,
    CostInfo,
    DaskInfo,
    EventInfo,
    JobInfo,
    ServerInfo,
)

EVIL = "<script>alert(1)</script>"


def cluster(**changes):
    given = {
        "id": "cluster-1",
        "name": "train",
        "status": "UP",
        "target": "UP",
        "owner": "me",
        "num_nodes": 2,
    }
    given |= {
        "infra": "aws/us-east-1",
        "instance_type": "p4d",
        "accelerators": "A100:8",
        "hourly_micro": 41_600,
    }
    return ClusterInfo(**(given | changes))


def job(**changes):
    given = {"cluster": "train", "id": 3, "name": "fit", "status": "RUNNING", "user": "me", "num_nodes": 2}
    return JobInfo(**(given | changes))


def cost(**changes):
    given = {"cluster": "train", "id": "cluster-1", "status": "UP", "infra": "aws", "instance_type": "p4d"}
    given |= {
        "num_nodes": 1,
        "hourly_micro": 1,
        "node_seconds": 120.0,
        "settled_micro": 5,
        "reserved_micro": 7,
    }
    return CostInfo(**(given | {"created_at": 1.0, "ended_at": None} | changes))


def charge(**changes):
    given = {"node": "0", "infra": "aws/us-east-1", "instance_type": "p4d", "spot": True, "hourly_micro": 1}
    given |= {"as_of": None, "source": "list", "begin": 1.0, "end": 121.0, "seconds": 120.0, "micro": 5}
    return ChargeInfo(**(given | {"settled": True} | changes))


ONE_OF_EACH = [
    Clusters([cluster(name=EVIL, reason=EVIL)]),
    Jobs([job(name=EVIL, reason=EVIL)]),
    Costs([cost(cluster=EVIL)]),
    Charges([charge(source=EVIL)]),
    Checks([CheckInfo(infra=EVIL, ok=False, detail=EVIL, mend=EVIL)]),
    Dasks([DaskInfo(cluster=EVIL, status="UP", wanted=1, reason=EVIL)]),
    Events([EventInfo(seq=1, at=1.0, name=EVIL, data={EVIL: EVIL})]),
    Servers([ServerInfo(version="1", api_version=1, pid=1, home=EVIL, started_at=1.0)]),
]


@pytest.mark.parametrize("listing", ONE_OF_EACH, ids=lambda one: type(one).__name__)
def test_every_listing_has_three_faces(listing):
    """Text and escaped HTML carry the same cells, JSON the structs; an empty one says so."""
    bundle = listing._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == str(listing) == repr(listing)
    assert EVIL in bundle["text/plain"]
    assert "<script" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert json.dumps(listing.to_dict())
    nothing = type(listing)()
    assert nothing._repr_mimebundle_()["text/plain"] == str(nothing) == listing.empty


def test_a_cluster_shows_place_price_state_and_age():
    """What a reader needs before deciding to keep it."""
    text = str(Clusters([cluster(created_at=0.0, autostop=AutostopRequest(idle_minutes=10, down=True))]))
    for part in ("train", "aws/us-east-1", "2x p4d (A100:8)", "UP", "$0.0416/h", "days ago", "10 min, down"):
        assert part in text


def test_a_cluster_on_its_way_shows_where_to_and_why():
    """Status and target, and the reason below the table."""
    text = str(Clusters([cluster(status="INIT", target="TERMINATED", reason="node 1 is gone")]))
    assert "INIT -> TERMINATED" in text
    assert text.splitlines()[-1] == "train: node 1 is gone"
    assert "->" not in str(Clusters([cluster(status="FAILED", target="TERMINATED", final=True)]))


def test_a_job_shows_exit_codes_once_it_is_final():
    """By rank, a question mark for a rank that has none."""
    done = job(status="FAILED", final=True, exit_codes=[0, None], started_at=10.0, ended_at=75.0)
    assert "0 ?" in str(Jobs([done]))
    assert "1 min" in str(Jobs([done]))
    assert str(Jobs([job(exit_codes=[None])])).splitlines()[1].endswith("-")


def test_the_bill_adds_up():
    """Totals of what is spent and what is reserved."""
    assert str(Costs([cost(), cost(settled_micro=1_000_000)])).endswith(
        "Spent $1.0000 in all, $0.0000 reserved."
    )


def test_colours_change_no_width():
    """Paint goes around the padded cell, and only of cells."""
    text = Clusters([cluster()]).to_text(lambda column, cell: f"<{cell}>" if column == "STATUS" else cell)
    assert "<UP    >" in text
    assert "<STATUS>" not in text
