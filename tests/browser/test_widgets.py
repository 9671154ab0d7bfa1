"""Widgets in cells and as a page, in a real browser and without any other host."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.support.browser import browser_missing
from tests.support.site import until

pytestmark = [
    pytest.mark.skipif(bool(browser_missing()), reason=browser_missing()),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
]
PLOT = ".jp-NotebookPanel:visible .jp-OutputArea-output .bk-Canvas"


@pytest.fixture(scope="module", autouse=True)
def clusters(here):
    here.launch("shown", run="echo here")
    until(lambda: here.cluster("shown").status == "UP", 60)


def test_widgets_live_in_cells(lab_page, here):
    """A table below the cell, in which a later cluster appears by itself, until another looks."""
    lab_page.notebook("Python 3")
    lab_page.write("from skynb import widgets\nshown = widgets.clusters()\nshown")
    lab_page.output("shown")
    here.launch("later")
    lab_page.output("later")
    here.down("later")
    lab_page.write("again = widgets.clusters()\nprint('looks:', shown.watches, again.watches)")
    lab_page.output("looks: False True")
    lab_page.output("newer widget")


def test_costs_and_prices_are_drawn(lab_page):
    """Plots inside the notebook; a filter that is typed changes the prices below it."""
    lab_page.notebook("Python 3")
    lab_page.write("from skynb import widgets\nwidgets.costs()")
    lab_page.page.locator(PLOT).first.wait_for()
    lab_page.write("widgets.gpus('V100', cloud='aws')")
    lab_page.output("p3.2xlarge")
    lab_page.page.locator(PLOT).nth(1).wait_for()
    asked = lab_page.page.locator('.jp-OutputArea input[placeholder^="Accelerator"]')
    asked.fill("A100")
    asked.press("Enter")
    lab_page.output("p4d.24xlarge")


def test_the_dashboard_asks_for_its_password(browser, here):
    """A stranger sees a form, who has the password sees clusters; no other host is asked."""
    command = [sys.executable, "-m", "skynb.cli", "dashboard", "--port", "0"]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as served:
        try:
            url, password = re.fullmatch(r"(\S+)  password: (\S+)\n", served.stdout.readline()).groups()
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            strayed = []
            page.on("request", lambda asked: strayed.append(asked.url) if url not in asked.url else None)
            page.goto(url)
            assert password not in page.url
            page.fill("#password", "a guess")
            page.keyboard.press("Enter")
            page.get_by_role("alert").filter(has_text=re.compile("nvalid")).wait_for()
            page.fill("#password", password)
            page.keyboard.press("Enter")
            page.get_by_text("shown").first.wait_for()
            page.get_by_text("Costs", exact=True).click()
            page.locator(".bk-Canvas:visible").first.wait_for()
            if folder := os.environ.get("SKYNB_TEST_PICTURES"):
                page.screenshot(path=f"{folder}/dashboard.png")
            context.close()
            assert [one for one in strayed if not one.startswith(("data:", "blob:"))] == []
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(20)
