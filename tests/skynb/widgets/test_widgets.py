"""Widgets show what the tables say, with a plot; what cannot be seen is said, and what was seen stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import panel as pn
import pytest
from bokeh.models import Div, Plot

from skynb import widgets
from skynb.errors import ServerError, SpecError
from skynb.spec import Task
from skynb.widgets.live import Live
from tests.support.site import site, until

pytestmark = pytest.mark.xdist_group("widgets")
WITHOUT = """
import sys
sys.modules["panel"] = None
from skynb import widgets
for found in (widgets.clusters(), widgets.jobs(), widgets.costs(2), widgets.gpus("A100", cloud="aws")):
    assert "<table" in found._repr_mimebundle_()["text/html"] or not found, found
print(widgets.clusters())
"""


@pytest.fixture(scope="module")
def here():
    with site() as made:
        made.launch("shown", run="echo here")
        until(lambda: made.cluster("shown").status == "UP", 60)
        yield made


def parts(found, kind):
    """Every component of a kind in a widget."""
    return list(pn.panel(found).select(kind))


def html(found):
    """All words that are to be seen."""
    models = [one.object for one in parts(found, pn.pane.Bokeh)]
    return "".join(one.text for one in models if isinstance(one, Div) and one.visible)


def sources(found):
    """The columns behind every plot."""
    models = [one.object for one in parts(found, pn.pane.Bokeh)]
    plots = [one for one in models if isinstance(one, Plot)]
    return [dict(line.data_source.data) for plot in plots for line in plot.renderers]


def test_clusters_and_jobs(here):
    """Each cluster in the table; one that costs nothing has no bar, and words say so instead of a plot."""
    found = widgets.clusters()
    assert "shown" in html(found)
    assert sources(found)[0]["name"] == []
    assert "Nothing that runs costs anything." in html(found)
    assert "No managed jobs." in html(widgets.jobs())


def test_costs(here):
    """A bar a day, a piece a cloud; caps and the bill below."""
    found = widgets.costs(3)
    assert {len(columns["day"]) for columns in sources(found)} == {3}
    assert "No budget is set" in html(found)
    with pytest.raises(SpecError, match="days is 1 to 366"):
        here.http.call("GET", "/spend", list, query={"days": "0"})


def test_gpus_are_filtered(here):
    """What is typed picks; what nobody knows is said, and the table stays."""
    found = widgets.gpus("V100", cloud="aws")
    [asked] = parts(found, pn.widgets.TextInput)
    assert sources(found)[0]["name"] == ["V100"]
    before = html(found)
    asked.value = "no such thing"
    assert "no such thing" in html(found)
    assert html(found).endswith(before)
    asked.value = "A100"
    assert "no such thing" not in html(found)
    assert "p4d.24xlarge" in html(found)


def test_what_if():
    """A point a prospect, those that nothing beats apart."""
    task = Task(name="x", run="true", resources={"accelerators": "V100:1", "infra": "aws"})
    found = widgets.what_if(task, hours=2)
    others, best = sources(found)
    assert len(best["hours"]) >= 1
    assert set(others["name"]).isdisjoint(best["name"])


def test_a_look_that_fails_keeps_what_was_seen():
    """The trouble stands above; the next good look takes it away."""
    seen: list[object] = ["first"]
    body = pn.pane.Markdown("")

    def load():
        if isinstance(seen[-1], Exception):
            raise seen[-1]
        return seen[-1]

    async def lived():
        live = Live("test", load, lambda text: setattr(body, "object", text), pn.Column(body), 3600)
        assert (body.object, html(live)) == ("first", "")
        seen.append(ServerError("the server rests"))
        await live.look()
        assert body.object == "first"
        assert "the server rests" in html(live)
        seen.append("second")
        await live.look()
        assert (body.object, html(live)) == ("second", "")

    asyncio.run(lived())


def test_one_of_a_kind_looks():
    """A cell that is run again leaves no second timer: the older widget stops, and says so."""

    async def lived():
        made = [Live("test", lambda: "seen", lambda _: None, pn.Column(), 3600) for _ in range(3)]
        other = Live("other", lambda: "seen", lambda _: None, pn.Column(), 3600)
        assert [one.watches for one in (*made, other)] == [False, False, True, True]
        assert ["newer widget" in html(one) for one in made] == [True, True, False]
        made[-1].stop()
        other.stop()

    asyncio.run(lived())


def test_without_panel_there_are_tables(here):
    """The same calls, where Panel is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert "shown" in done.stdout


def test_a_dashboard_without_panel_says_what_to_install():
    """One line and no traceback."""
    code = "import sys; sys.modules['panel'] = None; from skynb.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "dashboard"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "pip install 'skynb[panel]'" in done.stderr
    assert "Traceback" not in done.stderr
