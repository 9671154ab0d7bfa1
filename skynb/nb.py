"""Notebooks as managed jobs: run cell by cell, saved after each, resumed at the first unfinished one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skynb import jobs
from skynb.client.sdk import connection
from skynb.client.tasks import dag_of, only_task
from skynb.errors import NotFoundError
from skynb.notebooks.document import Document
from skynb.notebooks.run import NEEDS, NotebookRun, task_of

if TYPE_CHECKING:
    from skynb.client.managed import ManagedLaunch
    from skynb.client.tasks import TaskLike
    from skynb.environment import Environment

__all__ = ["environment", "get", "plan", "run"]


def run(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    task: TaskLike | None = None,
    *,
    output: str | Path | None = None,
    keep_session: str | None = None,
    **asked: Any,
) -> NotebookRun:
    """Hand a notebook over; returns as soon as that is durable. `lines()` follow it, `result()` waits.

    parameters: over those of the cell tagged `parameters`. task: where it runs and what goes before:
    resources, setup, files, variables, without `run`. output: the file for what the cells give, by default
    NAME.job-N.ipynb beside the notebook. keep_session: a folder on the node that outlives it (a shared disk),
    for what the kernel holds after each cell. asked: as for `skynb.jobs.launch`. SpecError.
    """
    path = Path(notebook)
    document, launch = _hand_over(path, parameters or {}, task, keep_session, asked)
    job = launch.jobs()[0]
    place = Path(output) if output is not None else path.with_name(f"{path.stem}.job-{job.id}.ipynb")
    return NotebookRun(connection(), job, document, place)


def plan(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    task: TaskLike | None = None,
    *,
    keep_session: str | None = None,
    **asked: Any,
) -> ManagedLaunch:
    """What `run` would rent; nothing is handed over."""
    asked["dryrun"] = True
    return _hand_over(Path(notebook), parameters or {}, task, keep_session, asked)[1]


def get(job: int | str, output: str | Path | None = None) -> NotebookRun:
    """A notebook that was handed over earlier, as far as it has come; `output` is written. SpecError."""
    found = jobs.get(job)
    place = Path(output) if output is not None else Path(f"{found.name}.job-{found.id}.ipynb")
    gotten = NotebookRun(connection(), found, None, place)
    gotten.collect()
    return gotten


def environment(notebook: str | Path) -> Environment:
    """What `env_sync` takes along: this Python's distributions, and the modules that cells import."""
    return _environment(Path(notebook), _read(Path(notebook)))


def _environment(path: Path, document: Document) -> Environment:
    from skynb.environment import imported, read

    return read(imported(document.code()), beside=path.resolve().parent, also=NEEDS)


def _read(path: Path) -> Document:
    if not path.is_file():
        raise NotFoundError(f"there is no notebook {path}", mend="Check the path")
    return Document.read(path)


def _hand_over(
    path: Path,
    parameters: Mapping[str, Any],
    task: TaskLike | None,
    keep_session: str | None,
    asked: dict[str, Any],
) -> tuple[Document, ManagedLaunch]:
    document = _read(path)
    document.set_parameters(parameters)
    document.clear()
    if asked.get("env_sync") is True:
        asked["env_sync"] = _environment(path, document)
    base = only_task(dag_of(task if task is not None else {}))
    with tempfile.TemporaryDirectory(prefix="skynb-notebook-") as folder:  # it is kept once it is handed over
        sent = Path(folder) / "notebook.ipynb"
        document.save(sent)
        work = task_of(sent, base, document, keep_session)
        work.name = base.name or path.stem
        return document, jobs.launch(work, **asked)
