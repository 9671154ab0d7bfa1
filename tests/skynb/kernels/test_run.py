"""`skynb run`, from Python, a terminal and a cell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from skynb import kernels
from skynb.errors import NotFoundError, ProviderError, SpecError
from skynb.kernels.remote import CellError
from tests.support.site import site, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("remote-kernels")]


@pytest.fixture(scope="module")
def here():
    with site() as made:
        with pytest.raises(NotFoundError, match="no cluster is up"):
            kernels.run("1")
        made.launch("far", resources={"infra": "local"})
        until(lambda: made.cluster("far").status == "UP", 60)
        yield made


@pytest.fixture
def said():
    """A list of what came, and the function that fills it."""
    found = []
    return found, lambda kind, content: found.append((kind, content))


def test_state_stays_and_values_travel(here, said):
    """The next cell finds what the last one left; names go there and come back, with their sizes."""
    found, emit = said
    kernels.run("kept = 1", emit=emit)
    ran = kernels.run(
        "print(kept + x.sum())\ny = x * 2", inputs={"x": np.arange(4)}, outputs=["y"], emit=emit
    )
    assert (ran.values["y"] == np.arange(4) * 2).all()
    assert (ran.sent, ran.got) == ({"x": 160}, {"y": 160})
    assert [content["text"] for kind, content in found if kind == "stream"] == ["7\n"]


def test_what_cannot_travel_is_said_before_anything_runs(here, said):
    """Too large, or code; the state there is as it was."""
    found, emit = said
    with pytest.raises(SpecError, match="'x' has 8 kB, the limit is 1 kB"):
        kernels.run("print('ran')", inputs={"x": bytes(8000)}, limit=1000, emit=emit)
    with pytest.raises(SpecError, match=r"'x' cannot travel.*only pickled.*--pickle"):
        kernels.run("print('ran')", inputs={"x": (1, 2)}, emit=emit)
    assert found == []
    ran = kernels.run("y = (x, 3)", inputs={"x": (1, 2)}, outputs=["y"], pickled=True, emit=emit)
    assert ran.values["y"] == ((1, 2), 3)
    with pytest.raises(SpecError, match="'big' has 9 kB, the limit is 1 kB"):
        kernels.run("big = bytes(9000)", outputs=["big"], limit=1000, emit=emit)
    with pytest.raises(SpecError, match="NameError"):
        kernels.run("pass", outputs=["nowhere"], emit=emit)


def test_an_error_there_is_an_error_here(here, said):
    """With its traceback; the kernel goes on."""
    found, emit = said
    with pytest.raises(CellError, match="ZeroDivisionError on 'far'"):
        kernels.run("1/0", emit=emit)
    assert "division by zero" in "".join(found[-1][1]["traceback"])
    kernels.run("print('on')", emit=emit)
    assert found[-1][1]["text"] == "on\n"


def test_an_interrupt_goes_there(here, said):
    """The cell there ends by it, and the kernel stays."""
    found, emit = said
    kernels.run("kept = 5", emit=emit)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(CellError, match="KeyboardInterrupt"):
        kernels.run("import time; time.sleep(100)", emit=emit)
    assert time.monotonic() - began < 90
    kernels.run("print(kept)", emit=emit)
    assert found[-1][1]["text"] == "5\n"


def test_a_kernel_that_ends_says_so_and_the_next_cell_gets_another(here, said):
    """Nobody waits for it for ever."""
    found, emit = said
    with pytest.raises(ProviderError, match=r"has ended.*exit status 3.*a new one is started"):
        kernels.run("import os; os._exit(3)", emit=emit)
    kernels.run("print('anew')", emit=emit)
    assert found[-1][1]["text"] == "anew\n"


def test_a_terminal_runs_scripts(here, tmp_path):
    """A file or standard input; what it prints, its exit status, its mistakes in a line, and no file left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = os.environ | {"TMPDIR": str(temporary)}

    def skynb(*words: str, text: str = "") -> tuple[int, str, str]:
        argv = [sys.executable, "-m", "skynb.cli", "run", *words]
        done = subprocess.run(
            argv, input=text, env=env, capture_output=True, text=True, timeout=90, check=False
        )
        return done.returncode, done.stdout, done.stderr

    script = tmp_path / "script.py"
    script.write_text("import os\nprint(os.getcwd())\n6 * 7\n")
    code, out, _ = skynb("-c", "far", str(script))
    assert (code, out.splitlines()[1]) == (0, "42")
    assert "local/local-" in out
    code, out, err = skynb("-", text="1/0")
    assert (code, out) == (1, "")
    assert "ZeroDivisionError" in err
    for words, told in (
        ((), "nothing to run"),
        (("-c", "near", "-"), "no cluster 'near'"),
        (("--in", "x", "-"), "a terminal has no names"),
        ((str(tmp_path / "none.py"),), "No such file"),
    ):
        code, _, err = skynb(*words)
        assert code in {1, 2}
        assert told in err
    assert list(temporary.iterdir()) == []


def test_in_a_cell(here):
    """Rich outputs are the cell's own and stay in the notebook; a failure stops the run."""
    cells = [
        "%load_ext skynb\nx = [1, 2]",
        (
            "%%sky run -c far --in x --out y\nfrom IPython.display import HTML, display\n"
            "display(HTML('<b>there</b>'))\nprint('said')\ny = x + [3]"
        ),
        "y",
        "%%sky run --in nix\npass",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match="there is no 'nix' here"):
        NotebookClient(notebook, timeout=90, kernel_name="python3").execute()
    rich, stream, result = notebook.cells[1].outputs
    assert rich["data"]["text/html"] == "<b>there</b>"
    assert stream["text"] == "said\n"
    assert "sent x" in result["data"]["text/plain"]
    assert notebook.cells[2].outputs[0]["data"]["text/plain"] == "[1, 2, 3]"
