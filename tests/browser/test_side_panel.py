"""The side panel in a real browser: what lives is seen as it is, and what can be done is done."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from skynb import SkyCluster, kernels
from skynb.client import sdk
from skynb.client import server as daemon
from tests.support.browser import browser_missing, tab
from tests.support.jupyter import jupyter
from tests.support.site import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = [
    pytest.mark.skipif(bool(browser_missing()), reason=browser_missing()),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
]
TICKS = "for i in $(seq 100000); do echo tick $i; sleep 0.2; done"


@pytest.fixture(scope="module", autouse=True)
def clusters(here):
    """`one` works, `two` idles."""
    here.launch("one", run=TICKS)
    here.launch("two", run="echo done")
    until(lambda: [one.status for one in here.clusters()] == ["UP", "UP"], 60)


def test_what_lives_is_seen_with_its_price(lab_page):
    """Clusters with state, place and price; the day's spending; no request leaves this machine."""
    panel = lab_page.panel()
    lab_page.row("one").wait_for()
    assert re.search(r"one\s*UP\s*this-machine · local · \$0\.00/h", lab_page.row("one").inner_text())
    assert "Today $0.00" in panel.inner_text()
    assert "No budget is set." in panel.inner_text()


def test_a_budget_is_a_meter(lab_page):
    """The month's cap and what of it is spent, for eyes and for screen readers."""
    sdk.set_budget(100)
    try:
        meter = lab_page.panel().get_by_role("meter")
        assert meter.get_attribute("aria-label") == "$0.00 of $100.00 this month"
    finally:
        sdk.set_budget(None)


def test_it_lives_without_being_asked(lab_page, here):
    """A cluster launched elsewhere appears, comes up and goes, and nobody reloads anything."""
    lab_page.row("one").wait_for()
    here.launch("three")
    lab_page.row("three").filter(has_text="UP").wait_for()
    here.down("three")
    lab_page.row("three").wait_for(state="detached")


def test_a_filter_keeps_what_it_names(lab_page):
    """By name, place or state; the title says how many of how many."""
    lab_page.row("one").wait_for()
    lab_page.panel().get_by_role("searchbox").fill("two up")
    lab_page.row("one").wait_for(state="detached")
    assert lab_page.row("two").count() == 1
    assert "Clusters (1 of 2)" in lab_page.panel().text_content()


def test_a_log_grows_in_a_tab_and_is_there_after_a_reload(lab_page):
    """Opened from the menu; Lab's own restoring brings the tab back."""
    lab_page.choose(lab_page.row("one"), "Open Log")
    log = lab_page.page.get_by_role("log")
    log.filter(has_text="tick 3").wait_for()
    length = len(log.inner_text())
    until(lambda: len(log.inner_text()) > length)
    lab_page.page.wait_for_timeout(1500)  # Lab saves its layout after a second
    lab_page.open(reset=False)
    lab_page.page.get_by_role("log").filter(has_text="tick 3").wait_for()


def test_stop_says_what_it_ends_and_start_brings_it_back(lab_page):
    """The job by its name, and that disks are kept; then the same cluster is up again."""
    lab_page.choose(lab_page.row("one"), "Stop…")
    said = lab_page.confirm()
    assert "1 running job: job 1" in said
    assert "Disks are kept" in said
    lab_page.row("one").filter(has_text="STOPPED").wait_for()
    lab_page.choose(lab_page.row("one"), "Start")
    lab_page.row("one").filter(has_text=re.compile("UP(?!.*→)")).wait_for()


def test_a_dialog_that_is_left_ends_nothing(lab_page, here):
    """Cancel is what Enter means."""
    lab_page.choose(lab_page.row("two"), "Take Down…")
    lab_page.page.locator(".jp-Dialog").wait_for()
    lab_page.page.keyboard.press("Enter")
    lab_page.page.locator(".jp-Dialog").wait_for(state="detached")
    assert here.cluster("two").target == "UP"


def test_the_keyboard_does_it_all(lab_page, here):
    """Arrows choose, Delete asks, Tab and Enter agree: a cluster goes, and no mouse was touched."""
    here.launch("zz")
    lab_page.row("zz").filter(has_text="UP").wait_for()
    box = lab_page.panel().get_by_role("listbox", name="Clusters", exact=True)
    box.focus()
    lab_page.page.keyboard.press("End")
    active = box.get_attribute("aria-activedescendant")
    chosen = lab_page.page.locator(f'[id="{active}"]')
    assert chosen.get_attribute("aria-selected") == "true"
    assert "zz" in chosen.inner_text()
    lab_page.page.keyboard.press("Delete")
    lab_page.page.locator(".jp-Dialog").wait_for()
    lab_page.page.keyboard.press("Tab")
    lab_page.page.keyboard.press("Enter")
    lab_page.row("zz").wait_for(state="detached")
    until(lambda: "zz" not in {one.name for one in here.clusters()})


def test_the_picker_writes_a_cell_that_launches(lab_page):
    """Filtered by name, spot, on one cloud: the cell says just that, under one that loads the magics."""
    lab_page.panel()
    lab_page.page.get_by_role("button", name="Launch on a GPU").click()
    dialog = lab_page.page.locator(".jp-Dialog")
    dialog.locator(".skynb-Row").first.wait_for()
    dialog.locator("select").select_option("aws")
    dialog.get_by_label("Accelerator", exact=True).fill("a100 80")
    dialog.get_by_label("Spot").check()
    dialog.get_by_label("Cluster").fill("mine")
    row = dialog.locator(".skynb-Row").filter(has_text="aws").first
    row.wait_for()
    assert re.search(r"\$\d+\.\d\d/h", row.inner_text())
    row.click()
    lab_page.picture("picker")
    dialog.get_by_role("button", name="Insert Cell").click()
    cells = lab_page.page.locator(".jp-NotebookPanel:visible .jp-CodeCell .cm-content")
    cells.nth(1).wait_for()
    assert cells.nth(0).inner_text() == "%load_ext skynb"
    assert (
        cells.nth(1).inner_text().startswith("%%sky launch -c mine --gpus A100-80GB:8 --infra aws --use-spot")
    )


def test_a_cell_launches_and_the_panel_shows_it(lab_page, here):
    """From the cell to the machine: its log below the cell, the cluster in the panel, and down again."""
    lab_page.panel()
    lab_page.notebook("Python 3")
    lab_page.write("%load_ext skynb")
    lab_page.write("%%sky launch -y -c cell --infra local\necho made by a cell")
    lab_page.output("made by a cell")
    lab_page.row("cell").filter(has_text="UP").wait_for()
    lab_page.picture("cell")
    lab_page.write("%sky down -y cell")
    lab_page.row("cell").wait_for(state="detached")


def test_a_cluster_becomes_the_kernel_of_the_notebook(lab_page):
    """From the panel; then it stands under Kernels, in use, and ends from there."""
    lab_page.panel()
    lab_page.notebook("Python 3")
    lab_page.choose(lab_page.row("two"), "Use as Kernel")
    lab_page.page.locator(".jp-NotebookPanel:visible .jp-Toolbar-kernelName", has_text="two").wait_for()
    lab_page.write("import os; print(os.getcwd())")
    lab_page.output("local/local-")
    row = lab_page.row("two node 0", section="Kernels on clusters")
    row.filter(has_text="in use").wait_for()
    lab_page.choose(row, "End…")
    assert "variables on two are lost" in lab_page.confirm()
    row.wait_for(state="detached")
    assert kernels.ls("two") == []


def test_dask_is_attached_by_a_cell(lab_page):
    """The cell that the panel writes says what a person would have to write."""
    lab_page.choose(lab_page.row("two"), "Insert a Cell That Attaches Dask")
    cell = lab_page.page.locator(".jp-NotebookPanel:visible .jp-CodeCell .cm-content").first
    cell.filter(has_text='cluster = SkyCluster("two")').wait_for()


def test_a_dask_dashboard_opens_in_a_tab(lab_page):
    """Its plots are drawn and live, over the Jupyter server alone; without a Dask it says what is missing."""
    with SkyCluster("two", n_workers=1, quiet=True, shutdown_on_close=True):
        lab_page.choose(lab_page.row("two"), "Open the Dask Dashboard")
        frame = lab_page.page.frame_locator("#skynb-dask-two iframe")
        frame.locator(".bk-Figure, .bk-Canvas").first.wait_for()
        frame.get_by_role("link", name="Workers").wait_for()
        lab_page.picture("dask-dashboard")
        lab_page.page.wait_for_timeout(1500)  # Lab saves its layout after a second
        lab_page.open(reset=False)
        frame.locator(".bk-Figure, .bk-Canvas").first.wait_for()
        lab_page.page.locator(".lm-TabBar-tab", has_text="two Dask").locator(
            ".lm-TabBar-tabCloseIcon"
        ).click()
    lab_page.choose(lab_page.row("two"), "Open the Dask Dashboard")
    lab_page.page.frame_locator("#skynb-dask-two iframe").get_by_text(
        "no Dask with a dashboard is up on"
    ).wait_for()


def test_a_managed_job_is_followed_and_cancelled(lab_page, here):
    """Its log in a tab; cancelled from its row, with what that means."""
    from skynb import jobs

    number = jobs.launch({"name": "long", "run": TICKS, "resources": {"infra": "local"}}).job_id
    row = lab_page.row(f"{number} long", section="Managed jobs")
    row.filter(has_text="RUNNING").wait_for()
    lab_page.choose(row, "Open Log")
    lab_page.page.get_by_role("log").filter(has_text="tick 1").wait_for()
    lab_page.choose(row, "Cancel…")
    assert "machines are ended" in lab_page.confirm()
    row.filter(has_text="CANCELLED").wait_for()


def test_another_version_is_said_with_the_mend(lab_page):
    """jupyterlab-git#1333: halves that differ say so, once, and the notice can be dismissed."""
    other = json.dumps({"version": "9.9.9", "server": None})
    lab_page.page.route(
        "**/skynb/door*", lambda route: route.fulfill(body=other, content_type="application/json")
    )
    notice = lab_page.panel().locator(".skynb-Notice")
    notice.wait_for()
    assert "9.9.9" in notice.inner_text()
    assert "Restart JupyterLab" in notice.inner_text()
    lab_page.picture("skew")
    notice.get_by_role("button", name="Dismiss").click()
    notice.wait_for(state="detached")
    assert lab_page.row("two").count() == 1


def test_a_lab_without_the_server_half_says_how_to_mend_it(browser, tmp_path):
    """jupyter-fs#402: never a silent blank panel."""
    off = """--ServerApp.jpserver_extensions={"skynb_jupyter": False}"""
    with jupyter(tmp_path, off, lab=True) as bare, tab(browser, bare) as page:
        notice = page.open().panel().locator(".skynb-Notice")
        notice.wait_for()
        assert "jupyter server extension enable skynb_jupyter" in notice.inner_text()
        page.picture("missing")


def test_a_server_that_is_killed_comes_back_by_itself(lab_page, here):
    """The panel starts it again and goes on showing."""
    lab_page.row("two").wait_for()
    before = here.server_pid()
    here.kill_server()
    until(lambda: (card := daemon.card()) is not None and card["pid"] != before, 60)
    here.launch("later")
    lab_page.row("later").wait_for()
    here.down("later")
    lab_page.row("later").wait_for(state="detached")


def test_light_and_dark(lab_page):
    """The panel takes Lab's colours: what is written stands out from what is behind it in both."""
    lab_page.row("two").wait_for()
    seen = []
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        lab_page.page.evaluate(
            "theme => window.jupyterapp?.commands.execute('apputils:change-theme', { theme })", theme
        )
        lab_page.page.locator(f'body[data-jp-theme-name="{theme}"]').wait_for(state="attached")
        lab_page.page.locator("#jupyterlab-splash").wait_for(state="detached")
        lab_page.picture(theme.replace(" ", "-"))
        seen.append(colours(lab_page.row("two")))
    assert seen[0] != seen[1]
    assert all(light(text) != light(behind) for text, behind in seen)


def colours(row: Locator) -> list[str]:
    """Of what is written and of what is behind it; a row that was drawn anew meanwhile has none."""
    seen: list[str] = []
    while not all(seen) or not seen:
        seen = row.evaluate(
            """row => {
              let box = row;
              const clear = 'rgba(0, 0, 0, 0)';
              while (getComputedStyle(box).backgroundColor === clear) box = box.parentElement;
              return [getComputedStyle(row).color, getComputedStyle(box).backgroundColor];
            }"""
        )
    return seen


def light(color: str) -> bool:
    """Whether a CSS color is nearer to white."""
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", color)[:3])
    return red + green + blue > 382
