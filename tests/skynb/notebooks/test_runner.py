"""What runs a notebook on a node, as a process: hooks at a warning, sessions for the next attempt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from skynb.client.waiting import until
from skynb.notebooks.node import journal, session
from tests.support.house import ROOT

KEY = "0f" * 32
CODE = "import sys; from skynb.notebooks.node.runner import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A home for the runner."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".skynb-notebook").mkdir()
    return tmp_path


class Attempt:
    """One attempt at a notebook of these cells; `lines` are its log, once it has ended."""

    def __init__(self, home: Path, cells: list[str], tags: dict[int, str] | None = None, **env: str) -> None:
        made = [nbformat.v4.new_code_cell(source) for source in cells]
        for at, tag in (tags or {}).items():
            made[at].metadata["tags"] = [tag]
        nbformat.write(nbformat.v4.new_notebook(cells=made), str(home / "in.ipynb"))
        self._result = home / "out.ipynb"
        self.log = home / f"log-{len(list(home.glob('log-*')))}"
        argv = [sys.executable, "-c", CODE, str(home / "in.ipynb"), str(self._result)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "SKYNB_JOURNAL": str(home / "journal"), **env}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, start_new_session=True, cwd=home)

    def ends(self) -> list[str]:
        """The lines of its log, when it has ended; the next attempt finds its journal."""
        self.process.wait(60)
        text = self.log.read_text()
        with (self.log.parent / "journal").open("a") as kept:
            kept.write(text)
        return [one for one in text.splitlines() if not one.startswith(journal.MARK)]

    def cells(self) -> list:
        return json.loads(self._result.read_text())["cells"]

    def gave(self) -> list:
        return [[part for one in cell["outputs"] for part in one["text"]] for cell in self.cells()]


def test_a_hook_runs_beside_the_cell_that_is_running(node):
    """At a warning, on the names of the notebook; its cell is no part of the order, and gives no outputs."""
    cells = [
        "import pathlib, time\nstate = {'step': 0}",
        "while not pathlib.Path('saved').exists():\n    state['step'] += 1\nprint('over')",
        "print('\\x1e{}saving'); pathlib.Path('saved').write_text(str(state['step'] > 0))",
    ]
    attempt = Attempt(node, cells, {2: "skynb-checkpoint"})
    until(lambda: "[2/2] while" in attempt.log.read_text() or None, 60, "the second cell")
    (node / ".skynb-notebook/warned").touch()
    lines = attempt.ends()
    assert attempt.process.returncode == 0
    assert (node / "saved").read_text() == "True"
    assert "[skynb-checkpoint] the machine is to go" in lines
    assert "?{}saving" in lines, "what a hook prints is no record of the journal"
    assert attempt.gave() == [[], ["over\n"], []]
    assert attempt.cells()[2]["metadata"]["skynb"]["status"] == "done"


def test_without_a_warning_no_hook_runs(node):
    """Nor does it wait for one."""
    attempt = Attempt(node, ["print(1)", "open('saved', 'w')"], {1: "skynb-checkpoint"})
    attempt.ends()
    assert attempt.process.returncode == 0
    assert not (node / "saved").exists()


COUNTED = [
    "import random, threading\nrandom.seed(3)\nlock = threading.Lock()",
    "ran = open('ran', 'a'); ran.write('second\\n'); ran.close(); del ran\nseen = [random.random()]",
    "same = seen\nsame.append(random.random())",
    "import os\nif os.environ['SKYNB_ATTEMPT'] == '1': os.kill(os.getppid(), 9); os._exit(9)",
    "print(same is seen, seen, random.random(), lock.locked())",
]


def cut_off(node: Path, tags: dict[int, str]) -> Callable[[], Attempt]:
    """A first attempt dies in the fourth cell; the answer begins the second."""
    kept = {"SKYNB_SESSION_STORE": "~/shared", "SKYNB_SESSION_KEY": KEY}
    first = Attempt(node, COUNTED, tags, **kept, SKYNB_ATTEMPT="1")
    first.ends()
    assert first.process.returncode == -9
    return lambda: Attempt(node, COUNTED, tags, **kept, SKYNB_ATTEMPT="2")


def undisturbed(node: Path) -> list:
    attempt = Attempt(node, COUNTED, SKYNB_ATTEMPT="2")
    attempt.ends()
    for left in ("ran", "journal"):
        (node / left).unlink()
    return attempt.gave()


def test_a_session_is_taken_up_by_the_next_attempt(node):
    """Finished cells do not run again but those tagged to; two names of one thing stay; chance goes on."""
    expected = undisturbed(node)
    attempt = cut_off(node, {0: "skynb-setup"})()
    lines = attempt.ends()
    assert attempt.gave() == expected
    assert (node / "ran").read_text() == "second\n"
    assert "session taken up" in lines
    about = [cell["metadata"]["skynb"].get("again") for cell in attempt.cells()]
    assert about == ["tagged skynb-setup", None, None, None, None]
    assert list((node / "shared").iterdir()) == [], "a job that has succeeded leaves nothing"


@pytest.mark.parametrize("case", ["changed", "of another key", "gone"])
def test_what_is_not_this_jobs_own_session_is_not_read(node, case):
    """It is said, and the cells run again as without one."""
    expected = undisturbed(node)
    again = cut_off(node, {0: "skynb-setup"})
    (kept,) = (node / "shared").glob("*/*")
    content = kept.read_bytes()
    if case == "changed":
        kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif case == "gone":
        kept.unlink()
    else:
        kept.write_bytes(bytes(32) + content[32:])
    second = again()
    lines = second.ends()
    assert second.gave() == expected
    assert (node / "ran").read_text() == "second\n" * 2
    refused = "session not taken up: it is not this job's, or not of these cells"
    assert (refused in lines) == (case != "gone")


def test_a_session_belongs_to_its_cells(tmp_path, monkeypatch):
    """What was kept after some cells is refused after others."""
    monkeypatch.setenv("SKYNB_SESSION_KEY", KEY)
    shell = SimpleNamespace(user_ns={"x": 3, "_1": 4}, user_ns_hidden={})
    session.keep(shell, str(tmp_path / "a"), "a", [])
    shell.user_ns = {}
    with pytest.raises(ValueError, match="not of these cells"):
        session.take(shell, str(tmp_path / "a"), "b")
    session.take(shell, str(tmp_path / "a"), "a")
    assert shell.user_ns == {"x": 3}


def test_a_session_that_cannot_be_written_is_said(node):
    """By the name that is in the way; without the tag, the lock would have to be kept."""
    expected = undisturbed(node)
    attempt = cut_off(node, {})()
    lines = (node / "log-1").read_text().splitlines()
    assert any(line.startswith("session not kept: lock: lock cannot be written") for line in lines)
    attempt.ends()
    assert attempt.gave() == expected
