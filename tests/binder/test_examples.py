"""The examples run headless, rehearsed on a simulated cloud, and show what they are for."""

from __future__ import annotations

import re

import pytest

from tests.support.notebooks import executed, output_of

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("examples")]


def test_fine_tuning_goes_on_after_its_machine_was_taken(tmp_path):
    """Two attempts, the second from the checkpoint of the first; all digits are known at the end."""
    done = executed("fine-tune", tmp_path)
    log = output_of(done, "%sky jobs launch")
    assert "--- attempt 2 ---" in log
    epochs = re.findall(r"^epoch (\d): (0\.\d+)", log, re.MULTILINE)
    assert [number for number, _ in epochs][-1] == "8"
    assert float(epochs[-1][1]) > 0.9
    assert "machines were lost 1 times" in output_of(done, "%sky jobs why")


@pytest.mark.long
def test_a_sweep_finds_the_best_of_six(tmp_path):
    """Six jobs, each its own value; the best is named and drawn."""
    done = executed("sweep", tmp_path)
    assert "6 SUCCEEDED" in output_of(done, "skynb.jobs.launch")
    assert "best of 6: gamma 0.001" in output_of(done, "best = max")
    assert any("image/png" in one.get("data", {}) for one in done.cells[-1].outputs)


def test_a_big_table_with_dask(tmp_path):
    """Every row is counted, on two workers."""
    done = executed("dask-table", tmp_path)
    assert "workers=2" in output_of(done, "SkyCluster(nodes=2")
    assert "777600" in output_of(done, "timeseries")
    assert "count" in output_of(done, "groupby('name')")


@pytest.mark.long
def test_batch_inference_scores_every_image(tmp_path):
    """Twelve shards on two warm workers."""
    done = executed("batch-inference", tmp_path)
    assert "1197 images in 12 shards" in output_of(done, "json.loads")
