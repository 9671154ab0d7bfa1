"""What is measured of JupyterLab: what the side panel costs its start, and thousands of clusters in it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from crowd_bench import CLUSTERS
from measures import Row
from scratch import home, stopped_clusters

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.support.browser import LabPage, browser_missing, browsing, tab  # noqa: E402
from tests.support.jupyter import jupyter  # noqa: E402

BUILT = ROOT / "jupyter_extension/labextension"
PAIRS, WHEELS = 5, 120
WITHOUT = '--ServerApp.jpserver_extensions={"skynb_jupyter": False}'
WATCH = """() => {
  window.skynbLongest = 0;
  new PerformanceObserver(list => {
    const taken = list.getEntries().map(entry => entry.duration);
    window.skynbLongest = Math.max(window.skynbLongest, ...taken);
  }).observe({ entryTypes: ['longtask'] });
}"""


def panel() -> Iterator[Row]:
    """In a real browser, where there is one."""
    size = sum(path.stat().st_size for path in BUILT.rglob("*") if path.is_file())
    yield Row("side panel, all files", "150", [size / 1000], unit="kB")
    if missing := browser_missing():
        yield Row("Lab ready: what skynb adds", "150", note=missing)
        return
    with home() as here:
        stopped_clusters(here.folder, CLUSTERS)
        here.check()
        here.quiet()
        pairs = [(_start(with_skynb=True), _start(with_skynb=False)) for _ in range(PAIRS + 1)][1:]
        yield Row("Lab ready in the browser, with skynb", "", [ours for ours, _ in pairs])
        yield Row("  without", "", [bare for _, bare in pairs])
        yield Row("  the difference", "150", [ours - bare for ours, bare in pairs])
        yield from _scrolled()


def _start(*, with_skynb: bool) -> float:
    """Milliseconds from starting the server until its page can be used; the browser has started before."""
    with tempfile.TemporaryDirectory(prefix="skynb-") as folder, browsing() as browser:
        page_config = Path(folder) / "config/labconfig/page_config.json"
        page_config.parent.mkdir(parents=True)
        page_config.write_text(json.dumps({"disabledExtensions": {"skynb": not with_skynb}}))
        begin = time.perf_counter()
        options = [] if with_skynb else [WITHOUT]
        with jupyter(Path(folder), *options, lab=True) as server, tab(browser, server) as page:
            page.open()
            return (time.perf_counter() - begin) * 1e3


def _scrolled() -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="skynb-") as folder,
        browsing() as browser,
        jupyter(Path(folder), lab=True) as server,
        tab(browser, server) as page,
    ):
        page.open()
        begin = time.perf_counter()
        page.panel()
        page.page.wait_for_selector(".skynb-Row")
        yield Row(f"panel opened, {CLUSTERS:,} clusters", "", [(time.perf_counter() - begin) * 1e3])
        page.page.wait_for_timeout(1000)
        yield Row("  scrolled to the end: longest task", "100", [_longest(page)])


def _longest(page: LabPage) -> float:
    """Milliseconds of the longest task of the page while its list is scrolled from end to end; 50 is none."""
    page.page.evaluate(WATCH)
    page.page.locator(".skynb-Rows-list").first.hover()
    for _ in range(WHEELS):
        page.page.mouse.wheel(0, CLUSTERS * 44 / WHEELS)
        page.page.wait_for_timeout(16)
    page.page.wait_for_timeout(500)
    return max(50.0, float(page.page.evaluate("window.skynbLongest")))
