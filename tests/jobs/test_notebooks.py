"""Notebooks as managed jobs, on a real server and real machines of infra `local`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from skynb import Task, jobs, nb
from skynb.cli.terminal import run
from skynb.client.waiting import until
from skynb.errors import JobFailed, NotFoundError, SpecError
from skynb.notebooks.document import Document
from skynb.notebooks.run import task_of
from tests.support.house import ROOT

pytestmark = pytest.mark.xdist_group("server")
HERE = {"resources": {"infra": "local"}}
GATE = """\
import os, time
def gate(number):
    while int(os.environ["SKYNB_ATTEMPT"]) <= number:
        time.sleep(0.05)"""
GATED = [
    "x = 3",
    f"{GATE}",
    "gate(1); seen = [x]; print('one')",
    "from IPython.display import HTML\ngate(2); seen.append(x + 1); HTML(f'<b>{seen}</b>')",
    "gate(3); print('three', end=''); seen",
    "sum(seen)",
]


@pytest.fixture(autouse=True)
def _here(server):
    """Every test here needs the server."""


def written(path: Path, cells: list[str], tags: dict[int, str] | None = None, **about) -> Path:
    """A notebook of these code cells."""
    made = [
        {
            "cell_type": "code",
            "id": f"c{at}",
            "execution_count": None,
            "metadata": {"tags": [tags[at]]} if tags and at in tags else {},
            "outputs": [],
            "source": source,
        }
        for at, source in enumerate(cells)
    ]
    given = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
    path.write_text(
        json.dumps({"cells": made, "metadata": given, "nbformat": 4, "nbformat_minor": 5} | about)
    )
    return path


def gave(path: Path) -> list:
    """What the cells of a saved notebook gave."""
    cells = nbformat.read(path, as_version=4)["cells"]
    return [(cell["source"], cell["execution_count"], cell["outputs"]) for cell in cells]


def about(path: Path) -> list[dict]:
    return [cell["metadata"]["skynb"] for cell in json.loads(path.read_text())["cells"]]


def undisturbed(notebook: Path) -> Path:
    """The notebook run here, at once and without a job."""
    result = notebook.with_name("undisturbed.ipynb")
    code = "import sys; from skynb.notebooks.node.runner import main; sys.exit(main(sys.argv[1:]))"
    env = {**os.environ, "SKYNB_ATTEMPT": "99", "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", code, str(notebook), str(result)]
    subprocess.run(argv, env=env, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return result


@pytest.mark.timeout(240)
@pytest.mark.parametrize("deaths", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_notebook_killed_in_its_cells_gives_what_an_undisturbed_one_does(server, tmp_path, deaths):
    """Machines die, each in another cell: outputs are equal; the file says what ran again, and why."""
    cells = [cell.replace("gate(3)", f"gate({deaths})") for cell in GATED]
    notebook = written(tmp_path / "gated.ipynb", cells)
    handle = nb.run(notebook, task=HERE)
    lines = handle.lines()
    for attempt, at in ((1, 3), (2, 4), (3, 5))[:deaths]:
        assert any(line.startswith(f"[{at}/6]") and "done" not in line for line in lines)
        card = until(lambda n=attempt: machine_of(server.home, handle.job_id, n), 60, "the machine")
        os.kill(card["init_pid"], signal.SIGKILL)
    rest = list(lines)
    assert handle.result(timeout=120).recoveries == deaths
    assert gave(handle.output) == gave(undisturbed(notebook))
    last = deaths + 1
    assert [one["attempt"] for one in about(handle.output)] == [1, 1, 2, 3, last, last]
    assert re.fullmatch("cell 4 uses .*seen.*", about(handle.output)[2]["again"])
    assert "again" not in about(handle.output)[5]
    assert f"--- attempt {last} ---" in rest
    assert gave(nb.get(handle.job_id, tmp_path / "again.ipynb").output) == gave(handle.output)


@pytest.mark.timeout(240)
def test_what_a_kernel_held_is_taken_up_after_a_death(server, tmp_path):
    """With a folder that outlives machines, no finished cell runs again, and outputs are the same."""
    notebook = written(tmp_path / "gated.ipynb", [re.sub("gate.[23].", "gate(1)", cell) for cell in GATED])
    handle = nb.run(notebook, task=HERE, keep_session=str(tmp_path / "shared"))
    lines = handle.lines()
    assert any(line.startswith("session kept") for line in lines)
    assert any(line.startswith("[3/6]") and "done" not in line for line in lines)
    os.kill(machine_of(server.home, handle.job_id, 1)["init_pid"], signal.SIGKILL)
    rest = list(lines)
    assert handle.result(timeout=120).recoveries == 1
    assert "session taken up" in rest
    assert gave(handle.output) == gave(undisturbed(notebook))
    assert not any("again" in one for one in about(handle.output))


def test_a_hook_cell_makes_a_hook_of_the_task(tmp_path):
    """Beside those that the task has; without such a cell there is none."""
    given = {"config": {"hooks": [{"run": "true", "events": ["preemption"]}]}}
    for tags, hooks in (({1: "skynb-checkpoint"}, 2), ({}, 1)):
        notebook = written(tmp_path / "h.ipynb", ["x = 1", "save(x)"], tags)
        task = task_of(notebook, Task.from_yaml_config(given), Document.read(notebook))
        assert len(task.hooks) == hooks


def machine_of(home: Path, job: int, attempt: int) -> dict | None:
    """The card of the machine that an attempt runs on."""
    name = f"gated-{job}" if attempt == 1 else f"gated-{job}-r{attempt}"
    cards = [json.loads(card.read_text()) for card in (home / "local").glob("*/machine.json")]
    return next((card for card in cards if card["tags"]["skynb-cluster"] == name), None)


def test_parameters_go_in_and_outputs_come_out(tmp_path, capsys):
    """By the command line: a cell behind the tagged one, a file named after the job, progress meanwhile."""
    cells = ["alpha = 1\nname = 'a'", "print(alpha * 2, name)"]
    notebook = written(tmp_path / "with.ipynb", cells, {0: "parameters"})
    argv = ["nb", "run", str(notebook), "-p", "alpha=5", "-p", "name=b c", "--infra", "local", "-y"]
    assert run(argv) == 0
    shown = capsys.readouterr()
    assert "[3/3] print(alpha * 2, name)\n10 b c\n[3/3] done" in shown.out
    assert "\x1e" not in shown.out
    (saved,) = tmp_path.glob("with.job-*.ipynb")
    assert gave(saved)[1:] == [
        ("# Parameters\nalpha = 5\nname = 'b c'", 2, []),
        ("print(alpha * 2, name)", 3, [{"output_type": "stream", "name": "stdout", "text": "10 b c\n"}]),
    ]
    number = saved.stem.rpartition("-")[2]
    assert run(["nb", "get", number, "--to", str(tmp_path / "got.ipynb")]) == 0
    assert gave(tmp_path / "got.ipynb") == gave(saved)
    assert next(jobs.tail_logs(number, tail=1)).startswith("[3/3] done")


def test_a_kernel_of_any_name_may_be_pythons(tmp_path):
    """An environment's own kernelspec names its language; `-o json` says where the file is."""
    notebook = written(tmp_path / "own.ipynb", ["40 + 2"])
    content = json.loads(notebook.read_text())
    content["metadata"] = {"kernelspec": {"name": "my-env", "language": "python", "display_name": "Mine"}}
    notebook.write_text(json.dumps(content))
    handle = nb.run(notebook, task=HERE)
    assert handle.result(timeout=60).status == "SUCCEEDED"
    assert gave(handle.output)[0][2][0]["data"]["text/plain"] == "42"
    assert handle.to_dict() == {"job_id": handle.job_id, "name": "own", "output": str(handle.output)}


def test_a_failing_cell_ends_it_with_all_outputs_kept(tmp_path):
    """The verdict is a failure; the file has the traceback and what went before; the rest did not run."""
    notebook = written(tmp_path / "bad.ipynb", ["print('kept')", "1 / 0", "print('never')"])
    handle = nb.run(notebook, task=HERE)
    with pytest.raises(JobFailed, match="ended as FAILED"):
        handle.result(timeout=60)
    first, second, third = gave(handle.output)
    assert first[2][0]["text"] == "kept\n"
    assert (second[2][0]["output_type"], second[2][0]["ename"]) == ("error", "ZeroDivisionError")
    assert third[2] == []


def test_a_dead_kernel_is_said(tmp_path):
    """A cell that kills its own process fails, and says so in the notebook."""
    notebook = written(tmp_path / "dead.ipynb", ["print('kept')", "import os; os._exit(7)"])
    handle = nb.run(notebook, task=HERE)
    with pytest.raises(JobFailed):
        handle.result(timeout=90)
    assert gave(handle.output)[1][2][0]["ename"] == "DeadKernel"


@pytest.mark.parametrize(
    ("cells", "parameters", "says"),
    [
        (["x = 1"], {"x": 2}, "no cell is tagged"),
        (["y = 1"], {"x": 2}, "no parameter 'x'"),
        (["x = 1"], {"x": object()}, "no plain value"),
        (["x = 1"], {"x": float("nan")}, "no plain value"),
    ],
)
def test_bad_parameters_are_refused(tmp_path, cells, parameters, says):
    """By name, before anything is handed over."""
    tags = {} if "tagged" in says else {0: "parameters"}
    notebook = written(tmp_path / "n.ipynb", cells, tags)
    with pytest.raises(SpecError, match=says):
        nb.run(notebook, parameters, HERE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "no notebook"),
        ('{"cells": [], "nbformat": 3}', "format 4"),
        (
            '{"cells": [], "nbformat": 4, "metadata": {"kernelspec": {"name": "ir", "language": "R"}}}',
            "in 'R'",
        ),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path, text, says):
    """With one line that says what it is."""
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(SpecError, match=says):
        nb.run(tmp_path / "n.ipynb", task=HERE)
    with pytest.raises(NotFoundError):
        nb.run(tmp_path / "nowhere.ipynb", task=HERE)
    with pytest.raises(SpecError, match="on one node"):
        nb.run(written(tmp_path / "w.ipynb", []), task={"num_nodes": 2})
    with pytest.raises(SpecError, match="the notebook is what runs"):
        nb.run(written(tmp_path / "w.ipynb", []), task={"run": "true"})


def test_another_job_is_no_notebook(tmp_path):
    """`nb get` of a plain job says so, and writes nothing."""
    handle = jobs.launch({"name": "plain", **HERE, "run": "echo hi"})
    handle.wait(60)
    with pytest.raises(SpecError, match="has given no notebook"):
        nb.get(handle.job_id, tmp_path / "x.ipynb")
    assert list(tmp_path.iterdir()) == []
