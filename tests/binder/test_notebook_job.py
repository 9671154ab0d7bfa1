"""The example of a notebook job, headless on the simulated cloud: its machine is taken, its outputs stay."""

from __future__ import annotations

import json

import nbformat
import pytest

from tests.support.notebooks import executed, output_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder where the example was executed, in a home of its own."""
    folder = tmp_path_factory.mktemp("notebook-job")
    executed("notebook-job", folder, beside=("survey",))
    return folder


@pytest.mark.timeout(300)
def test_the_notebook_went_on_on_another_machine(place):
    """The log tells both attempts, the history why there were two, and the verdict is a success."""
    executed = nbformat.read(place / "notebook-job.done.ipynb", 4)
    assert "--- attempt 2 ---" in output_of(executed, "%sky nb run")
    told = output_of(executed, "%sky jobs why")
    assert "machines were lost 1 times" in told
    assert "attempt 2 did the work" in told


@pytest.mark.timeout(300)
def test_its_outputs_are_whole(place):
    """Every cell is done, the parameter went in, and the report is what the whole survey gives."""
    cells = json.loads((place / "survey.done.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert {cell["metadata"]["skynb"]["status"] for cell in code} == {"done"}
    assert code[1]["source"] == "# Parameters\nrounds = 200000"
    assert code[-1]["outputs"][0]["text"] == "near: 3.14\nfar: 0.50\n"
    assert 2 in {cell["metadata"]["skynb"]["attempt"] for cell in code}
