"""What the SDK takes for a task."""

import asyncio
from pathlib import Path

import pytest

from skynb import Dag, JobFailed, SpecError, Task
from skynb.client import sdk
from skynb.client.launch import checked
from skynb.client.tasks import packed, task_of
from skynb.client.waiting import until
from skynb.errors import UnsupportedError, error_from_dict
from skynb.wire import JobInfo


def test_a_task_comes_in_many_forms(tmp_path):
    """A Task as it is, a Dag of one, a mapping, a file by Path or name, a text."""
    file = tmp_path / "task.yaml"
    file.write_text("run: echo hi\n")
    task = Task(run="echo hi")
    with Dag() as dag:
        Task(run="echo hi")
    assert task_of(task) is task
    for form in (dag, {"run": "echo hi"}, file, str(file), "run: echo hi\n"):
        assert task_of(form).run == "echo hi"


def test_several_tasks_are_refused():
    """A chain is no task; none is none."""
    with pytest.raises(UnsupportedError, match="one task is expected, not 2"):
        task_of("run: a\n---\nrun: b\n")
    with pytest.raises(SpecError, match="no task"):
        task_of(Dag())


def test_a_workdir_is_meant_from_here(tmp_path, monkeypatch):
    """The server runs elsewhere, so the path goes in full; a missing folder is told at once."""
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    assert packed(Task(workdir="code"))[0]["workdir"] == str(tmp_path / "code")
    with pytest.raises(SpecError, match="workdir: there is no folder"):
        packed(Task(workdir="nowhere"))


def test_secrets_travel_apart():
    """The config shows their names only."""
    config, secrets = packed(Task(run="true", secrets={"KEY": "hunter2"}))
    assert secrets == {"KEY": "hunter2"}
    assert "hunter2" not in str(config)


def test_idle_wishes():
    """Nothing said is nothing sent; down alone means as soon as it is idle; a wish without a time is told."""
    assert sdk.wish(None, None, down=False) is None
    assert sdk.wish(None, None, down=True).idle_minutes == 0
    assert sdk.wish(5, "jobs", down=False).wait_for == "jobs"
    with pytest.raises(SpecError, match="there is none"):
        sdk.wish(None, "jobs", down=False)
    with pytest.raises(SpecError, match="wait_for: 'never' is not one of"):
        sdk.wish(5, "never", down=False)


def test_a_failed_job_is_one_short_error():
    """It carries the job, names ranks and codes, and renders without a traceback."""
    job = JobInfo(
        cluster="c", id=1, name="", status="FAILED", user="", num_nodes=2, exit_codes=[0, 3], final=True
    )
    with pytest.raises(JobFailed) as caught:
        checked(job)
    assert caught.value.exit_codes == [0, 3]
    assert str(caught.value) == (
        "job 1 on 'c' ended as FAILED. exit codes: rank 1: 3. `skynb logs c 1` shows its log."
    )
    assert caught.value._render_traceback_() == [f"JobFailed: {caught.value}"]
    assert isinstance(error_from_dict(caught.value.to_dict()), JobFailed)


def test_waiting_ends_in_time():
    """TimeoutError says what was waited for; what comes in time is given back."""
    with pytest.raises(TimeoutError, match="the cat takes longer than 0.05 s"):
        until(lambda: None, 0.05, "the cat")
    looks = iter([None, None, "cat"])
    assert until(lambda: next(looks), 5, "the cat") == "cat"


def test_awaiting_does_not_need_a_job():
    """A dry run is over before it begins, in a loop as outside of it."""
    from skynb.client.launch import Launch
    from skynb.wire import LaunchAnswer

    handle = Launch(sdk.connection(), LaunchAnswer(cluster="c", dryrun=True), num_nodes=1)

    async def wait():
        return await handle

    assert asyncio.run(wait()) is None
    assert handle.wait() is None
    assert list(handle) == []
    assert handle.status() == "DRYRUN"
