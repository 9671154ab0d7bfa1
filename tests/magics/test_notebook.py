"""A real notebook, run headless, against a real server."""

import json
import os
import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from skynb.client import sdk

pytestmark = [
    pytest.mark.xdist_group("server"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


def run(*cells, **options):
    """The notebook of these cells after a run with the server's home."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in ("%load_ext skynb", *cells)]
    )
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", **options)
    client.execute(env=dict(os.environ))
    return notebook.cells[1:]


def texts(cell):
    return [output["data"]["text/plain"] for output in cell.outputs if "data" in output]


def test_a_notebook_keeps_what_happened(server):
    """Launch in a cell, follow, query, fail, await, complete, take down: all from one notebook."""
    launch, held, failed, again, awaited, completed, down = run(
        "%%sky launch -c nb --infra local --num-nodes 2\necho hello from $SKYNB_NODE_RANK",
        "name = 'nb'\nx = %sky queue $name\nx",
        "%%sky exec -c nb\necho before\nexit 3",
        "%%sky exec -c nb\nname: named\nrun: seq 300",
        "import skynb\n(await skynb.exec({'run': 'true'}, 'nb')).status",
        "print(*get_ipython().kernel.do_complete('%sky down n', 11)['matches'])",
        "%sky down nb",
        allow_errors=True,
    )
    before, live, result = texts(launch)
    assert before.splitlines() == [
        "2× this-machine on local: $0.0000/h",
        "expected: no history, the task has no name",
        "cap: none",
    ]
    assert live.startswith("SUCCEEDED  job 1 on nb · $0.0000/h · ")
    assert {"(rank 0) hello from 0", "(rank 1) hello from 1", "2 lines"} <= set(live.splitlines())
    assert result.startswith("<Launch cluster nb, job 1: SUCCEEDED")
    assert "SUCCEEDED" in texts(held)[0]
    assert "<table>" in held.outputs[0]["data"]["text/html"]
    assert texts(failed)[0].startswith("FAILED  job 2 on nb")
    error = failed.outputs[-1]
    assert (error.output_type, error.ename) == ("error", "JobFailed")
    assert len(error.traceback) == 1
    assert error.traceback[0].startswith(
        "JobFailed: job 2 on 'nb' ended as FAILED. rank 0 exited with code 3."
    )
    lines = texts(again)[0].splitlines()
    assert "101" in lines
    assert "100" not in lines
    assert lines[-1] == "300 lines, the last 200 are here; all of them: %sky logs nb 3"
    assert texts(awaited) == ["'SUCCEEDED'"]
    assert completed.outputs[0]["text"].split() == ["nb"]
    assert "TERMINATED" in texts(down)[0]
    assert "nb" not in server.names()


def test_what_it_will_cost_is_said_before(server):
    """From the task's own past where there is one, with the caps that hold; the saved HTML has it, too."""
    first, second = run(
        "%%sky launch -c price --infra local --budget 2\nname: priced\nrun: sleep 1",
        "%%sky launch -c price-again --infra local\nname: priced\nrun: sleep 1",
    )
    before, live, _ = texts(first)
    assert "expected: no history of 'priced' on this kind of machine" in before
    assert "cap: $2.0000 for this run" in before
    assert "$0.0000 spent" in live
    assert "expected: $0.0000 in 1 s, as the median of 1 run" in texts(second)[0]
    assert "<div>expected: $0.0000 in 1 s" in second.outputs[0]["data"]["text/html"]


def test_managed_jobs_say_what_they_will_cost_before(server):
    """How many, what each takes and is expected to cost, and the caps, before anything is handed over."""
    [handed] = run("%%sky jobs launch -d --num-jobs 2 --budget 1 --infra local\nname: handed\nrun: 'true'")
    assert texts(handed)[0].splitlines() == [
        "2 jobs, each:",
        "this-machine on local: $0.0000/h",
        "expected: no history of 'handed' on this kind of machine",
        "cap: $1.0000 for this run",
    ]


def test_a_failed_job_fails_the_run(server):
    """As nbconvert runs it: the cell is an error, its log is in the notebook, and what follows is not run."""
    with pytest.raises(CellExecutionError, match="JobFailed: job 1 on 'nbfail' ended as FAILED"):
        run("%%sky launch -c nbfail --infra local\nexit 1", "raise SystemError('not reached')")


def test_interrupting_a_cell_detaches(server):
    """The cell ends well, says how to go on, and the job still runs."""
    sdk.launch({"resources": {"infra": "local"}}, "nbstop").wait(timeout=60)
    interrupted = threading.Thread(target=lambda: _interrupt(clients))
    clients = []
    interrupted.start()
    cells = [
        nbformat.v4.new_code_cell(text)
        for text in ("%load_ext skynb", "%%sky exec -c nbstop\necho begun; sleep 60")
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    clients.append(client)
    client.execute(env=dict(os.environ))
    interrupted.join()
    live = texts(notebook.cells[1])[0]
    assert "begun" in live
    assert "Detached, the work goes on. To follow: %sky logs nbstop 1; cancel: %sky cancel nbstop 1" in live
    assert sdk.latest_job("nbstop").status == "RUNNING"
    assert json.dumps(notebook)
    sdk.cancel("nbstop")


def _interrupt(clients):
    """SIGINT to the kernel, as its interrupt button does, once the log has begun."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if clients and "begun" in json.dumps([cell.get("outputs") for cell in clients[0].nb.cells]):
            pid = clients[0].km.provisioner.process.pid
            os.kill(pid, 2)
            return
        time.sleep(0.1)
