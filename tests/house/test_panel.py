"""The committed side panel is that of the sources beside it, and of this version."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from skynb import __version__
from tests.support.house import ROOT

LAB = ROOT / "jupyter_extension/lab"
BUILT = ROOT / "jupyter_extension/labextension"
MOST_BYTES = 150_000


def test_the_built_panel_is_of_these_sources():
    """Whoever changes the sources runs `make panel`."""
    command = [sys.executable, str(ROOT / "tools/panel-sources")]
    now = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (BUILT / "sources.sha256").read_text() == now, "run `make panel`"


def test_both_halves_have_one_version():
    """The panel compares its version with the server half's."""
    assert json.loads((LAB / "package.json").read_text())["version"] == __version__
    assert json.loads((BUILT / "package.json").read_text())["version"] == __version__


def test_it_is_small_and_whole():
    """Everything that a browser loads, licences included, is below the budget, and the entry is there."""
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    entry = json.loads((BUILT / "package.json").read_text())["jupyterlab"]["_build"]["load"]
    assert (BUILT / entry).is_file()


def test_no_registry_is_named():
    """Jlpm and npm write addresses of whatever registry they used into lock files, unless told not to."""
    lock = (LAB / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "http" not in lock
    assert not list(LAB.glob("yarn.lock"))


def test_no_markup_is_made_of_data():
    """What comes from the server becomes text, never HTML."""
    source = "".join(path.read_text() for path in LAB.glob("src/*.ts"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", source)
