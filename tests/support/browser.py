"""A real browser in a real JupyterLab: what a person does there, and the pictures of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.jupyter import TOKEN, Jupyter

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 30_000
STARTS_MS = 90_000


def chromium() -> str | None:
    """The program; tools/lab installs one where it may."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def browser_missing() -> str:
    """Why there is no browser here; empty if there is one."""
    return "" if chromium() else "no Chromium is installed (CHROMIUM=... names one)"


class LabPage:
    """A tab with JupyterLab in it. strayed: what it asked of other hosts. wrong: errors of its scripts."""

    def __init__(self, page: Page, server: Jupyter) -> None:
        self.page = page
        self.server = server
        self.strayed: list[str] = []
        self.wrong: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda asked: self._look(asked.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def open(self, path: str = "", *, reset: bool = True) -> LabPage:
        """Lab as it is when it is opened for the first time, or as it was left."""
        query = f"?token={TOKEN}{'&reset' if reset else ''}"
        self.page.goto(f"{self.server.url}lab{path}{query}", timeout=STARTS_MS)
        self.page.wait_for_selector("#jp-main-dock-panel .lm-TabBar-tab", timeout=STARTS_MS)
        return self

    def panel(self) -> Locator:
        """Skynb's side panel, opened."""
        panel = self.page.locator("#skynb-panel")
        if not panel.is_visible():
            self.page.click('[data-id="skynb-panel"]')
        panel.wait_for()
        return panel

    def row(self, text: str, *, section: str = "Clusters") -> Locator:
        """A row of the panel."""
        box = self.panel().get_by_role("listbox", name=section, exact=True)
        return box.get_by_role("option").filter(has_text=text)

    def choose(self, row: Locator, action: str) -> None:
        """An entry of a row's menu."""
        row.click(button="right")
        self.page.get_by_role("menuitem", name=action).click()

    def confirm(self) -> str:
        """What the dialog asks; the answer is yes."""
        dialog = self.page.locator(".jp-Dialog")
        said = dialog.inner_text()
        dialog.locator(".jp-mod-accept").click()
        dialog.wait_for(state="detached")
        return said

    def notebook(self, kernel: str) -> None:
        """A new notebook with this kernel, from the launcher."""
        if not self.page.locator(".jp-Launcher").is_visible():
            self.page.keyboard.press("Control+Shift+L")
        card = self.page.locator('.jp-LauncherCard[data-category="Notebook"]', has_text=kernel)
        card.click()
        self.page.wait_for_selector(".jp-NotebookPanel:visible .jp-Notebook .jp-CodeCell")
        self.idle()

    def idle(self) -> None:
        """Wait until the kernel of the notebook in front rests, as the status bar has it."""
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=60_000)

    def write(self, code: str) -> None:
        """Code into the active cell, and run it there; the next cell is active then."""
        editor = self.page.locator(".jp-NotebookPanel:visible .jp-Cell.jp-mod-active .cm-content")
        editor.click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")

    def output(self, text: str) -> None:
        """Wait until the notebook in front shows this."""
        cells = self.page.locator(".jp-NotebookPanel:visible .jp-OutputArea-output")
        cells.filter(has_text=text).first.wait_for(timeout=60_000)

    def picture(self, name: str) -> None:
        """Keep what is seen, where SKYNB_TEST_PICTURES names a folder."""
        if folder := os.environ.get("SKYNB_TEST_PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))

    def _look(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:", "blob:")):
            self.strayed.append(url)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser; one in a process at a time."""
    from playwright.sync_api import sync_playwright

    flags = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, server: Jupyter) -> Iterator[LabPage]:
    """A tab of a person who was never there; nothing may leave this machine, and nothing fail in the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = LabPage(context.new_page(), server)
    try:
        yield page
    finally:
        context.close()
    assert page.strayed == [], page.strayed
    assert page.wrong == [], page.wrong
