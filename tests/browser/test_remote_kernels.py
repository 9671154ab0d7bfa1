"""Kernels on another host as a person in JupyterLab uses them."""

from __future__ import annotations

import pytest

from tests.support.browser import browser_missing
from tests.support.hosts import lab_missing
from tests.support.remote import distant

MISSING = browser_missing() or lab_missing()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
]
KERNEL = "venv (distant"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'
TALKS = "import time\nfor n in range(30):\n    print('line', n)\n    time.sleep(0.2)\nprint('all said')"


@pytest.fixture(scope="module", autouse=True)
def far(lab, here):
    return distant(lab, here)


@pytest.fixture
def notebook(lab_page):
    """A new notebook whose kernel is on the host, chosen in the launcher."""
    lab_page.notebook(KERNEL)
    return lab_page


def test_a_cell_runs_on_the_host(notebook, far):
    """What it says comes from there, pictures and errors too."""
    notebook.write("import socket; print('on', socket.gethostname())")
    notebook.output("on far")
    notebook.write(f"from IPython.display import SVG\nSVG('{PICTURE}')")
    notebook.page.locator(".jp-NotebookPanel:visible .jp-RenderedSVG").wait_for()
    notebook.write("1 / 0")
    notebook.output("ZeroDivisionError")


def test_interrupt_and_restart(notebook):
    """Lab's own buttons: a running cell ends with KeyboardInterrupt, a restart forgets what was known."""
    notebook.write("import time\nkept = 1\nprint('begun')\ntime.sleep(1000)")
    notebook.output("begun")
    notebook.page.locator('.jp-NotebookPanel:visible [data-command="notebook:interrupt-kernel"]').click()
    notebook.output("KeyboardInterrupt")
    notebook.write("print('kept', kept)")
    notebook.output("kept 1")
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.type("00")
    notebook.confirm()
    notebook.idle()
    notebook.write("print('forgotten', 'kept' not in globals())")
    notebook.output("forgotten True")


def test_a_cut_line_costs_no_output(notebook, far):
    """The host's cable is pulled while a cell works: all that it said is in the notebook afterwards."""
    notebook.write(TALKS)
    notebook.output("line 3")
    far.cut()
    notebook.page.wait_for_timeout(2000)
    far.heal()
    notebook.output("all said")
    text = notebook.page.locator(".jp-NotebookPanel:visible .jp-OutputArea-output").first.inner_text()
    assert [f"line {n}" for n in range(30)] == [line for line in text.splitlines() if line.startswith("line")]


def test_a_reloaded_page_finds_its_kernel(notebook):
    """The notebook is opened again with the kernel that it had, and what that knows."""
    notebook.write("known = 41")
    notebook.write("print(known + 1)")
    notebook.output("42")
    notebook.page.keyboard.press("Control+s")
    notebook.page.wait_for_timeout(1500)
    notebook.open(reset=False)
    notebook.idle()
    notebook.page.locator(".jp-NotebookPanel:visible .jp-Cell").last.click()
    notebook.page.keyboard.press("Enter")
    notebook.write("print('still', known)")
    notebook.output("still 41")
