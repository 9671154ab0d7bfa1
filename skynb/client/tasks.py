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
    return only_task(dag_of(task))


def dag_of(task: TaskLike) -> Dag:
    """The tasks of a Task, a Dag, a YAML file or text, or a mapping. SpecError."""
    from skynb.spec import Dag, Task, load_dag

    if isinstance(task, Dag):
        return task
    if isinstance(task, (Task, Mapping)):
        one = task if isinstance(task, Task) else Task.from_yaml_config(task)
        dag = Dag(one.name)
        dag.add(one)
        return dag
    return load_dag(task)


def only_task(dag: Dag) -> Task:
    """The task of a Dag that has one. SpecError, or UnsupportedError."""
    if len(dag) == 1:
        return dag.tasks[0]
    if not len(dag):
        raise SpecError("there is no task in this Dag", mend="Add one")
    raise UnsupportedError(
        f"one task is expected, not {len(dag)}",
        mend="Launch the tasks one by one; chains and groups are for managed jobs",
    )


def packed(task: Task) -> tuple[dict[str, Any], dict[str, str]]:
    """Config and secrets for sending; relative paths are meant from here, so they go as full ones."""
    config, secrets = task.to_wire()
    workdir = task.workdir
    if isinstance(workdir, str):
        folder = Path(workdir).expanduser().resolve()
        if not folder.is_dir():
            raise SpecError(f"there is no folder {folder}", where="workdir", mend="Check the path")
        config["workdir"] = str(folder)
    for target, source in task.get_local_to_remote_file_mounts().items():
        path = Path(source).expanduser().absolute()
        if not path.exists():
            where = f"file_mounts.{target}"
            raise SpecError(f"there is no file or folder {path}", where=where, mend="Check the path")
        config["file_mounts"][target] = str(path)
    return config, secrets
