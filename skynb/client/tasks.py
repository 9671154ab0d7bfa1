"""Whatever names a task, as the task itself, and as it travels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skynb.errors import SpecError, UnsupportedError

if TYPE_CHECKING:
    from skynb.spec import Dag, Task

    TaskLike = Task | Dag | str | Path | Mapping[str, Any]


def task_of(task: TaskLike) -> Task:
    """The one task of a Task, a Dag, a YAML file or text, or a mapping. SpecError, or UnsupportedError."""
    from skynb.spec import Dag, Task, load_dag

    if isinstance(task, Task):
        return task
    if isinstance(task, Mapping):
        return Task.from_yaml_config(task)
    dag = task if isinstance(task, Dag) else load_dag(task)
    if len(dag) == 1:
        return dag.tasks[0]
    if not len(dag):
        raise SpecError("there is no task in this Dag", mend="Add one")
    raise UnsupportedError(
        f"one task is expected, not {len(dag)}",
        mend="Launch the tasks one by one; chains and groups are for managed jobs",
    )


def packed(task: Task) -> tuple[dict[str, Any], dict[str, str]]:
    """Config and secrets for sending; a relative workdir is meant from here, so it goes as a full path."""
    config, secrets = task.to_wire()
    workdir = task.workdir
    if isinstance(workdir, str):
        folder = Path(workdir).expanduser().resolve()
        if not folder.is_dir():
            raise SpecError(f"there is no folder {folder}", where="workdir", mend="Check the path")
        config["workdir"] = str(folder)
    return config, secrets
