"""The task that runs a notebook on a node, and the notebook as it comes back from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from skynb.client.http import Connection
from skynb.client.logs import Lines
from skynb.client.managed import is_over, log_lines
from skynb.client.waiting import until
from skynb.errors import JobFailed, SpecError
from skynb.notebooks.document import Document
from skynb.notebooks.node import journal
from skynb.notebooks.node.resume import HOOK

if TYPE_CHECKING:
    from skynb.spec import Task
    from skynb.wire import ManagedInfo

_NODE = Path(journal.__file__).parent
_PLACE = "~/.skynb-notebook"
NEEDS = ("nbclient", "ipykernel", "cloudpickle")
# What jsonschema would parse at import if it is installed: over a second that no notebook needs.
_QUICK = 'import sys; sys.modules.update(dict.fromkeys(("rfc3987_syntax", "isoduration")))'
_SETUP = f"""\
if ! python3 -c '{_QUICK}; import {", ".join(NEEDS)}' 2>/dev/null; then
    [ -x {_PLACE}/venv/bin/python ] || python3 -m venv --system-site-packages {_PLACE}/venv
    {_PLACE}/venv/bin/python -m pip install --quiet {" ".join(NEEDS)}
fi
"""
_START = f"""\
{_QUICK}
sys.path.insert(0, sys.argv.pop(1))
from skynb_notebook.runner import main
sys.exit(main(sys.argv[1:]))
"""
_RUN = f"""\
rm -f {_PLACE}/warned
python=python3
[ -x {_PLACE}/venv/bin/python ] && python={_PLACE}/venv/bin/python
exec "$python" -u -c '{_START}' {_PLACE} {_PLACE}/notebook.ipynb {_PLACE}/result.ipynb
"""


_WARN = {"run": f": > {_PLACE}/warned", "events": ["preemption"]}


def task_of(notebook: Path, base: Task, document: Document, keep_session: str | None = None) -> Task:
    """The task that runs the notebook in this file; `base` says where, and what goes before.

    keep_session: the folder on the node, and on the next, for what its kernel holds after each cell.
    """
    from skynb.spec import Task

    if base.run:
        raise SpecError("the notebook is what runs", where="run", mend="Leave `run` out")
    if base.num_nodes > 1:
        mend = "Leave it out; a cell can rent a cluster of its own"
        raise SpecError("a notebook runs on one node", where="num_nodes", mend=mend)
    config, secrets = base.to_wire()
    if document.tagged(HOOK):
        given = config.get("config") or {}
        config["config"] = {**given, "hooks": [*given.get("hooks", ()), _WARN]}
    mounts = {f"{_PLACE}/skynb_notebook/{one.name}": str(one) for one in sorted(_NODE.glob("*.py"))}
    mounts[f"{_PLACE}/notebook.ipynb"] = str(notebook)
    task = Task.from_wire(config, secrets)
    task.update_file_mounts(mounts)
    if keep_session is not None:
        task.update_envs({"SKYNB_SESSION_STORE": keep_session})
        task.update_secrets({"SKYNB_SESSION_KEY": token_hex(32)})
    task.setup = "\n".join(part for part in (_SETUP, task.setup) if part)
    task.run = _RUN
    return task


class NotebookRun:
    """A notebook that was handed over as a managed job. It goes on whether or not anybody holds this.

    output: the file that gets what each cell gave, when somebody follows. document: the notebook so far.
    """

    def __init__(
        self, connection: Connection, job: ManagedInfo, document: Document | None, output: Path
    ) -> None:
        self._connection = connection
        self._job = job
        self.job_id = job.id
        self.document = document
        self.output = output

    def lines(self, *, follow: bool = True) -> Iterator[str]:
        """What the notebook prints, cell by cell; `output` is written after each of them."""
        return log_lines(self._connection, self._job, follow=follow, make=self._lines)

    def ways_on(self, program: str = "skynb") -> str:
        """How to get the notebook and to cancel, for somebody who leaves."""
        return (
            f"get what there is: {program} nb get {self.job_id}; cancel: {program} jobs cancel {self.job_id}"
        )

    def result(self, timeout: float | None = None) -> ManagedInfo:
        """Wait for the end, with all that the cells gave in `output`; JobFailed, TimeoutError."""
        job = until(lambda: is_over(self._connection, self.job_id), timeout, f"notebook job {self.job_id}")
        self.collect()
        if job.status != "SUCCEEDED":
            what = f"notebook job {job.id} ended as {job.status}"
            raise JobFailed(what, why=job.reason or None, mend=f"{self.output} shows what its cells gave")
        return job

    def to_dict(self) -> dict[str, Any]:
        """Job and file in plain JSON types."""
        return {"job_id": self.job_id, "name": self._job.name, "output": str(self.output)}

    def __str__(self) -> str:
        return f"notebook job {self.job_id} ({self._job.name}), saved in {self.output}"

    def __repr__(self) -> str:
        return f"<NotebookRun {self}>"

    def collect(self) -> Document:
        """The notebook as far as it has come; SpecError if it has not begun. `output` is written."""
        for _ in self.lines(follow=False):
            pass
        if self.document is None:
            what = f"job {self.job_id} has given no notebook"
            raise SpecError(what, mend=f"`skynb jobs logs {self.job_id}` shows what it is")
        return self.document

    def _lines(self, ranks: int) -> Lines:
        return _Journal(ranks, self._take)

    def _take(self, record: dict[str, Any]) -> None:
        if record.get("event") == "notebook" and self.document is None:
            self.document = Document(record.get("content") or {}, f"job {self.job_id}")
        if self.document is not None and self.document.take(record):
            self.document.save(self.output)


class _Journal(Lines):
    """Lines that hand over what the journal says."""

    def __init__(self, ranks: int, take: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(ranks)
        self._take = take

    def record(self, text: str) -> list[str]:
        for found in journal.records([text]):
            self._take(found)
        return []
