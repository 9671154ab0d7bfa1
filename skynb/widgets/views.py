"""The widgets: tables as everywhere else, with a plot beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import panel as pn
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from panel.io import push_notebook

from skynb.client import sdk
from skynb.client.listings import Budgets, Clusters, Costs, Days
from skynb.errors import SkynbError
from skynb.jobs import queue
from skynb.widgets.live import Live, Markup, Trouble, ready

if TYPE_CHECKING:
    from skynb.client.managed import ManagedJobs
    from skynb.planning import GpuTable
    from skynb.planning.model import Candidate
    from skynb.planning.what_if import WhatIf

HEIGHT = 240
MOST_BARS = 20
SORTABLE = ' tabindex="0" style="cursor: pointer"'
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
STATUS_COLORS = {"RUNNING": COLORS[2], "SUCCEEDED": COLORS[0], "PENDING": COLORS[7], "CANCELLED": COLORS[7]}


def clusters(refresh_s: float) -> Live[Clusters]:
    """What lives, and the dearest of it."""
    bars = _bars("What an hour costs, in dollars", "Nothing that runs costs anything.")
    table = _table()

    def show(found: Clusters) -> None:
        running = sorted((one for one in found if one.status != "STOPPED"), key=lambda one: -one.hourly_micro)
        shown = [one for one in running if one.hourly_micro][:MOST_BARS]
        bars.show([one.name for one in shown], [one.hourly_micro / 1e6 for one in shown])
        table.say(_html(found))

    return Live("clusters", sdk.status, show, _column(bars.pane, table.pane), refresh_s)


def jobs(refresh_s: float) -> Live[ManagedJobs]:
    """The newest, and how many there are of each status."""
    bars = _bars("Managed jobs by status", "No managed jobs.")
    table = _table()

    def show(found: ManagedJobs) -> None:
        names = [name for name, count in found.counts.items() if count]
        colors = [STATUS_COLORS.get(name, COLORS[3 if name.startswith("FAILED") else 1]) for name in names]
        bars.show(names, [found.counts[name] for name in names], colors)
        table.say(_html(found))

    return Live("jobs", queue, show, _column(bars.pane, table.pane), refresh_s)


class Spending(NamedTuple):
    """What is looked at together."""

    days: Days
    budgets: Budgets
    bill: Costs


def costs(days: int, refresh_s: float) -> Live[Spending]:
    """Days by cloud, caps, and the bill."""
    plot = figure(
        height=HEIGHT, x_range=[], title="Dollars a day (UTC)", tools="", sizing_mode="stretch_width"
    )
    plot.y_range.start = 0
    plot.xaxis.major_label_orientation = 0.8
    pane = pn.pane.Bokeh(plot, sizing_mode="stretch_width")
    caps, bill = _table(), _table()
    drawn: list[tuple[str, ...]] = []
    source = ColumnDataSource({"day": []})

    def show(found: Spending) -> None:
        clouds = tuple(sorted({cloud for day in found.days for cloud in day.clouds}))
        names = [day.day for day in found.days]
        columns = {cloud: [day.clouds.get(cloud, 0) / 1e6 for day in found.days] for cloud in clouds}
        plot.x_range.factors = names
        source.data = {"day": names, **columns}
        if clouds and drawn != [clouds]:
            plot.renderers = []
            colors = [COLORS[number % len(COLORS)] for number in range(len(clouds))]
            labels = [cloud or "other" for cloud in clouds]
            plot.vbar_stack(
                list(clouds), x="day", width=0.8, color=colors, source=source, legend_label=labels
            )
            drawn[:] = [clouds]
        caps.say(_html(found.budgets))
        bill.say(_html(found.bill))

    def load() -> Spending:
        return Spending(sdk.spend(days), sdk.budgets(), sdk.cost_report(days))

    return Live("costs", load, show, _column(pane, caps.pane, bill.pane), refresh_s)


def gpus(found: GpuTable, name: str, cloud: str | None) -> pn.Column:
    """Prices, to filter. found: those of that name."""
    ready()
    asked = pn.widgets.TextInput(value=name, placeholder="Accelerator or memory: H100, 80GB+")
    bars = _bars("Lowest price of one accelerator, in dollars an hour", "Nothing of that kind is known.")
    table, trouble = _table(), Trouble()

    def ask(_: Any) -> None:
        try:
            show(sdk.gpus(asked.value.strip() or None, cloud=cloud))
        except SkynbError as error:
            trouble.say(error)
        else:
            trouble.over()
        push_notebook(whole)

    def show(found: GpuTable) -> None:
        lowest: dict[str, float] = {}
        for row in found.rows:
            if row.hourly_micro is not None and row.accelerator_count:
                each = row.hourly_micro / row.accelerator_count / 1e6
                lowest[row.accelerator] = min(each, lowest.get(row.accelerator, each))
        cheap = sorted(lowest, key=lambda kind: lowest[kind])[:MOST_BARS]
        bars.show(cheap, [lowest[kind] for kind in cheap])
        table.say(_html(found))

    whole = _column(asked, trouble.pane, bars.pane, table.pane)
    asked.param.watch(ask, "value")
    show(found)
    return whole


def what_if(found: WhatIf) -> pn.Column:
    """A point for each machine: when nine of ten runs are done, and what they cost then."""
    ready()
    plot = figure(
        height=2 * HEIGHT,
        title="Cost against time, nine of ten runs",
        x_axis_label="hours",
        y_axis_label="dollars",
        tools="hover,box_zoom,wheel_zoom,reset",
        tooltips=[("", "@name"), ("hours", "@hours{0.0}"), ("dollars", "@dollars{0.00}")],
        sizing_mode="stretch_width",
    )
    for best, color, label in ((False, COLORS[7], "others"), (True, COLORS[2], "none is better in both")):
        some = [one for one in found.prospects if one.best is best]
        source = {
            "hours": [one.p90_hours for one in some],
            "dollars": [one.p90_micro / 1e6 for one in some],
            "name": [_machine(one.machine) for one in some],
        }
        plot.scatter("hours", "dollars", source=source, size=9, color=color, alpha=0.8, legend_label=label)
    return _column(pn.pane.Bokeh(plot, sizing_mode="stretch_width"), _table(_html(found)).pane)


def _machine(one: Candidate) -> str:
    return f"{one.instance_type}{' (spot)' if one.spot else ''} on {one.infra}"


class _Bars(NamedTuple):
    """Bars of which there may be none: then a sentence says so."""

    pane: pn.Column
    plot: Any
    empty: Markup
    nothing: str
    source: ColumnDataSource

    def show(self, names: list[str], values: list[float], colors: list[str] | None = None) -> None:
        self.plot.visible = bool(names)
        self.empty.say("" if names else self.nothing)
        self.plot.x_range.factors = names
        self.source.data = {"name": names, "value": values, "color": colors or [COLORS[0]] * len(names)}


def _bars(title: str, empty: str) -> _Bars:
    source = ColumnDataSource({"name": [], "value": [], "color": []})
    plot = figure(height=HEIGHT, x_range=[], title=title, tools="", sizing_mode="stretch_width")
    plot.vbar("name", top="value", color="color", width=0.8, source=source)
    plot.y_range.start = 0
    plot.xaxis.major_label_orientation = 0.8
    plot.toolbar.logo = None
    words = Markup()
    pane = pn.Column(pn.pane.Bokeh(plot, sizing_mode="stretch_width"), words.pane)
    return _Bars(pane, plot, words, empty, source)


def _column(*panes: Any) -> pn.Column:
    return pn.Column(*panes, sizing_mode="stretch_width")


def _table(html: str = "") -> Markup:
    return Markup(html, styles={"overflow": "auto", "max-height": "480px"})


def _html(found: Any) -> str:
    """As a notebook shows it, without the script that sorts: it would not run here."""
    html = str(found._repr_mimebundle_()["text/html"])
    return re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL).replace(SORTABLE, "")
