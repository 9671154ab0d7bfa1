"""The example notebook runs headless from top to bottom, shows what it promises and leaves nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.support.notebooks import output_of

BINDER = Path(__file__).resolve().parents[2] / "binder"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook as `make demo` executes it."""
    output = tmp_path_factory.mktemp("demo") / "out.ipynb"
    ran = subprocess.run(
        [sys.executable, str(BINDER / "demo.py"), str(output)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return nbformat.read(output, 4)


@pytest.mark.timeout(300)
def test_the_plan_and_the_prices_need_no_server(executed):
    """Eight H100s are listed and planned over all clouds, with price, age and hash."""
    assert "H100:8" in output_of(executed, "%sky gpus")
    planned = output_of(executed, "%%sky plan")
    assert "->" in planned
    assert "/h" in planned


def test_other_machines_are_compared(executed):
    """With the odds of being done in time, and what that rests on."""
    compared = output_of(executed, "skynb.what_if")
    assert "done in 120 h" in compared
    assert "assumed: 100 h of work on H100:8" in compared


def test_both_ranks_trained_and_their_logs_stayed_in_the_notebook(executed):
    """The live display's last state is kept: five epochs of each rank, and a real accuracy."""
    log = output_of(executed, "%%sky launch -c digits")
    assert "SUCCEEDED" in log
    for rank in range(2):
        epochs = re.findall(rf"\(rank {rank}\) epoch (\d): (0\.\d+) right", log)
        assert [number for number, _ in epochs] == list("12345")
        assert float(epochs[-1][1]) > 0.8


def test_the_second_command_found_the_files_of_the_first(executed):
    """Same machines, same disks, each its own."""
    found = output_of(executed, "%%sky exec")
    for rank in range(2):
        assert f"digits-{rank} holds model.npz" in found


def test_dask_computed_on_both_nodes(executed):
    """The fits ran where the nodes are, and the picture of them is in the notebook."""
    assert {"digits-0", "digits-1"} <= set(re.findall(r"digits-\d", output_of(executed, "def accuracy")))
    picture = next(cell for cell in executed.cells if "plt.subplots" in cell.source)
    assert any("image/png" in output.get("data", {}) for output in picture.outputs)


def test_queue_logs_and_bill_are_shown_and_nothing_is_left(executed):
    """Two jobs succeeded, the bill has their machine time, and the last cell proves that all is gone."""
    assert output_of(executed, "%sky queue").count("SUCCEEDED") == 2
    assert "epoch 5" in output_of(executed, "%sky logs")
    assert "digits" in output_of(executed, "%sky cost")
    assert "TERMINATED" in output_of(executed, "%sky down")
    assert "clusters: 0, machines: 0, agents: 0" in output_of(executed, "assert not skynb.status()")
