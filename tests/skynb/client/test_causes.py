"""The history of a cluster as sentences."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.client.causes import answer, known_events, story, tell
from skynb.client.managed_causes import known_events as of_managed_jobs
from skynb.wire import AutostopRequest, ClusterInfo, EventInfo

ROOT = Path(__file__).parents[3]
WRITTEN = re.compile(r'(?:Event|\.tell)\(\s*"([a-z_.]+)"|"([a-z]+\.[a-z.]+\.asked)"')
OFFER = {
    "cloud": "aws",
    "region": "us-east-1",
    "instance_type": "p4d",
    "spot": True,
    "hourly_micro": 9_000_000,
}


def cluster(status, target=None, **changes):
    given = {"id": "cluster-1", "name": "train", "owner": "me", "num_nodes": 1, "infra": "aws"}
    return ClusterInfo(
        status=status,
        target=target or status,
        instance_type="p4d",
        accelerators="",
        hourly_micro=1,
        **(given | changes),
    )


def history(*events):
    return [
        EventInfo(seq=number, at=float(number), name=name, record=record, data=data)
        for number, (name, record, data) in enumerate(events, 1)
    ]


def written_events():
    """Every event name in the code."""
    sources = [path for top in ("skynb", "clusters", "jobs") for path in (ROOT / top).rglob("*.py")]
    found = [WRITTEN.findall(path.read_text()) for path in sources]
    return {name for names in found for pair in names for name in pair if name}


def test_every_event_has_a_sentence():
    """What the code writes is told, and nothing is told that nobody writes."""
    assert known_events() | of_managed_jobs() == written_events()
    assert not known_events() & of_managed_jobs()


@pytest.mark.parametrize("name", sorted(known_events()))
def test_a_sentence_stands_without_its_facts(name):
    """An event of an older version, which says less, is told all the same."""
    text = tell(EventInfo(seq=1, at=0.0, name=name, record="node-1-0"))
    assert text != name
    assert not text.endswith(".")


@given(st.text(min_size=1), st.dictionaries(st.text(), st.integers()))
def test_an_unknown_event_is_told_as_it_is(name, data):
    """A newer server's events do not break an older client."""
    assert name in tell(EventInfo(seq=1, at=0.0, name=f"x.{name}", data=data))


@pytest.mark.parametrize(
    ("found", "events", "says"),
    [
        (
            cluster("STOPPED"),
            [
                ("cluster.launch", None, {}),
                ("autostop", None, {"idle_s": 700, "idle_minutes": 10, "target": "STOPPED"}),
            ],
            ["nobody used it for 11 min", "the limit is 10 min"],
        ),
        (
            cluster("TERMINATED", final=True),
            [("autostop", None, {"idle_s": 60, "idle_minutes": 1}), ("cluster.down.asked", None, {})],
            ["somebody asked to take it down"],
        ),
        (
            cluster("FAILED", "TERMINATED", final=True),
            [("launch.failed", None, {"tried": [{"error": {"what": "no capacity", "why": "sold out"}}]})],
            ["1 refusal", "no capacity: sold out"],
        ),
        (
            cluster("STOPPED"),
            [("cluster.stopped", None, {"by": "outside", "reason": "the node stopped itself"})],
            ["without being asked", "the node stopped itself"],
        ),
        (
            cluster("UP", autostop=AutostopRequest(idle_minutes=5, down=True)),
            [
                ("job.asked", None, {"job": 1}),
                ("job.asked", None, {"job": 2}),
                ("job.status", None, {"job": 1, "status": "FAILED"}),
            ],
            ["1 job not over: 2", "it ends when nobody used it for 5 min"],
        ),
        (
            cluster("UP"),
            [("cluster.launch", None, {"nodes": 2})],
            ["somebody launched it: 2 nodes", "nothing ends it"],
        ),
        (
            cluster("UP", "STOPPED"),
            [("budget.spent", "node-1-0", {"free_micro": 0, "target": "STOPPED"})],
            ["UP on its way to STOPPED", "the budget is used up"],
        ),
    ],
)
def test_one_sentence_says_why(found, events, says):
    """The answer names the last cause of the state, and what holds a cluster that runs."""
    text = answer(found, history(*events))
    assert text.startswith(f"train is {found.status}")
    assert [words for words in says if words not in text] == []


def test_what_was_refused_is_told_with_what_it_rules_out():
    """An offer, its price, the infra's words and the scope of the refusal."""
    error = {"what": "no p4d left", "disproves": "zone"}
    [line] = story(
        cluster("INIT", "UP"), history(("launch.refused", None, {"offer": OFFER, "error": error}))
    ).lines
    assert line.text == (
        "p4d (spot) on aws/us-east-1 at $9.0000/h was refused: no p4d left; "
        "that rules out the zone for a while"
    )


def test_small_steps_are_shown_when_asked():
    """A story is of what matters; `every` shows the rest."""
    events = history(("cluster.launch", None, {}), ("node.created", "node-1-0r2", {"machine": "i-7"}))
    assert [line.event for line in story(cluster("UP"), events).lines] == ["cluster.launch"]
    assert story(cluster("UP"), events, every=True).lines[1].text == "node 0 of try 3: machine i-7 is there"


def test_html_is_escaped():
    """What a cloud or a person said is text in a notebook."""
    evil = "<script>alert(1)</script>"
    told = story(cluster("UP", name=evil), history(("effect.failed", "node-1-0", {"error": {"what": evil}})))
    html = told._repr_mimebundle_()["text/html"]
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2
