"""Several tasks: a chain, one after the other, or a group that runs side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from skynb.spec.checks import below, choice, fail, filled, list_of, map_of, mapping, matching, nearest, show
from skynb.spec.documents import read_documents, read_file, write_documents
from skynb.spec.plain import plain
from skynb.spec.records import Field, Record
from skynb.spec.task import Collector, Task, collector, task_name
from skynb.spec.values import seconds

if TYPE_CHECKING:
    from contextvars import Token
    from pathlib import Path

    from typing_extensions import Self

Execution = Literal["serial", "parallel"]

_JOB_NAME = re.compile(r"[A-Za-z0-9_-]+")
_job_name = matching(_JOB_NAME.pattern, "a job's name", mend="Use letters, digits, `_` and `-`")


def _delay(value: Any, where: str) -> int | Mapping[str, int]:
    if isinstance(value, Mapping):
        return map_of(filled, seconds)(value, where)
    return seconds(value, where)


class Header(Record):
    """The first document of several: what holds for all of them."""

    name = Field(task_name)
    execution = Field(choice("serial", "parallel"), "serial")
    primary_tasks = Field(list_of(_job_name), ())
    termination_delay = Field(_delay, 0)

    def _check(self, where: str) -> None:
        if self.execution == "parallel":
            return
        for key in ("primary_tasks", "termination_delay"):
            if self.is_given(key):
                mend = "Write `execution: parallel` beside it, or leave it out"
                fail(key, "this is for groups of jobs", mend=mend)


class Dag:
    """Tasks in order, and which runs after which.

    `with Dag() as dag:` collects the tasks made inside the block, and `a >> b` there adds an edge.
    execution `parallel` makes a group: it has a name for each job and no edges; the jobs that
    `primary_tasks` does not name stop `termination_delay` seconds after those that it names.
    """

    def __init__(self, name: str | None = None, *, execution: str | None = None, **header: Any) -> None:
        given = {"name": name, "execution": execution, **header}
        self._header = Header.from_yaml_config(
            {key: value for key, value in given.items() if value is not None}
        )
        self.tasks: list[Task] = []
        self._edges: list[tuple[Task, Task]] = []
        self._tokens: list[Token[Collector | None]] = []

    @property
    def name(self) -> str | None:
        return self._header.name

    @name.setter
    def name(self, name: str | None) -> None:
        self._header = self._header.copy(name=name)

    @property
    def execution(self) -> Execution:
        return cast("Execution", self._header.execution)

    @property
    def primary_tasks(self) -> tuple[str, ...]:
        return self._header.primary_tasks

    @property
    def termination_delay(self) -> int | Mapping[str, int]:
        """Seconds, for all auxiliary jobs or by name (`default` for the others)."""
        return self._header.termination_delay

    @property
    def edges(self) -> tuple[tuple[Task, Task], ...]:
        """(first, then) pairs."""
        return tuple(self._edges)

    def set_execution(self, execution: str) -> None:
        """`serial` or `parallel`."""
        self._header = self._header.copy(execution=execution)

    def add(self, task: Task) -> None:
        """Append a task; one that is there already stays where it is."""
        if not isinstance(task, Task):
            fail("", f"a Task is expected, not {show(task)}")
        if task not in self.tasks:
            self.tasks.append(task)

    def remove(self, task: Task) -> None:
        """Take a task and its edges out."""
        self._index(task)
        self.tasks.remove(task)
        self._edges = [edge for edge in self._edges if task not in edge]

    def add_edge(self, first: Task, then: Task) -> None:
        """`then` runs after `first`; SpecError for a task that is not here, or for a circle."""
        self._index(first)
        self._index(then)
        if first is then or first in self._after(then):
            fail("", f"an edge from {_called(first)} to {_called(then)} would close a circle")
        if (first, then) not in self._edges:
            self._edges.append((first, then))

    def is_chain(self) -> bool:
        """Whether the tasks run one after the other, in one line; one task alone does."""
        starts, ends = (Counter(edge[side] for edge in self._edges) for side in (0, 1))
        in_line = all(count == 1 for count in [*starts.values(), *ends.values()])
        return self.execution == "serial" and in_line and len(self._edges) == max(0, len(self.tasks) - 1)

    def is_job_group(self) -> bool:
        """Whether the tasks are a group of jobs that run side by side."""
        return self.execution == "parallel"

    def is_primary_task(self, task_name: str) -> bool:
        """Whether the group lasts as long as this job does."""
        return not self.primary_tasks or task_name in self.primary_tasks

    def get_auxiliary_task_names(self) -> list[str]:
        """The jobs that stop after the primary ones."""
        return [task.name for task in self.tasks if task.name and not self.is_primary_task(task.name)]

    def get_termination_delay_secs(self, task_name: str) -> int:
        """How long a job outlives the primary ones."""
        delay = self.termination_delay
        return delay if isinstance(delay, int) else delay.get(task_name, delay.get("default", 0))

    def in_order(self) -> list[Task]:
        """The tasks, each after those that it waits for, otherwise as added."""
        done: list[Task] = []
        waiting = list(self.tasks)
        while waiting:
            ready = next(
                task for task in waiting if all(first in done for first, then in self._edges if then is task)
            )
            waiting.remove(ready)
            done.append(ready)
        return done

    def validate(self) -> None:
        """Check each task, and for a group its names."""
        for task in self.tasks:
            task.validate()
        if self.is_job_group():
            self._check_group()

    def to_yaml_configs(self) -> list[dict[str, Any]]:
        """The documents: a header where one is needed, then the tasks. Other graphs: SpecError."""
        if not self.is_job_group() and not self.is_chain():
            fail(
                "",
                "only a chain or a group of jobs can be written as YAML",
                mend="Join the tasks with add_edge",
            )
        header = self._header.to_yaml_config()
        tasks = [task.to_yaml_config() for task in self.in_order()]
        alone = len(tasks) == 1 and self.name in {None, tasks[0].get("name")} and set(header) <= {"name"}
        ambiguous = bool(tasks) and len(tasks) > 1 and set(tasks[0]) == {"name"}
        if alone or (not header and not ambiguous):
            return tasks
        return [header or {"execution": "serial"}, *tasks]

    def to_yaml(self) -> str:
        """The documents as YAML, secrets as `<redacted>`."""
        return write_documents(self.to_yaml_configs())

    def __enter__(self) -> Self:
        self._tokens.append(collector.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        collector.reset(self._tokens.pop())

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __repr__(self) -> str:
        arrow = " || " if self.is_job_group() else " >> " if self.is_chain() else ", "
        return f"Dag({self.name or ''}: {arrow.join(map(_called, self.tasks))})"

    def _index(self, task: Task) -> int:
        if task not in self.tasks:
            fail("", f"{_called(task)} is not in this Dag", mend="Add it first")
        return self.tasks.index(task)

    def _after(self, task: Task) -> set[Task]:
        found: set[Task] = set()
        frontier = [task]
        while frontier:
            current = frontier.pop()
            later = [then for first, then in self._edges if first is current and then not in found]
            found.update(later)
            frontier += later
        return found

    def _check_group(self) -> None:
        if not self.tasks:
            fail("", "a group has at least one job", mend="Add a document for each job")
        names: list[str] = []
        for index, task in enumerate(self.tasks):
            where = f"tasks[{index}].name"
            if not task.name:
                fail(where, "a job of a group has a name", mend="Add `name`")
            if _job_name(task.name, where) in names:
                fail(
                    where, f"{show(task.name)} is the name of another job, too", mend="Make the names differ"
                )
            names.append(task.name)
        delays = self.termination_delay if isinstance(self.termination_delay, Mapping) else {}
        mentioned = [(below("primary_tasks", index), name) for index, name in enumerate(self.primary_tasks)]
        mentioned += [(below("termination_delay", name), name) for name in delays if name != "default"]
        for where, name in mentioned:
            if name not in names:
                fail(where, f"{show(name)} is not a job of this group", mend=nearest(name, names, "job"))


def load_dag(path_or_text: str | Path, *, env_overrides: Any = None, secrets_overrides: Any = None) -> Dag:
    """The tasks of a YAML file (a Path, or a text that ends in .yaml or .yml) or of a YAML text.

    Overrides go over the envs and secrets of every task. One document is a Dag of one task.
    """
    named = not isinstance(path_or_text, str) or bool(re.fullmatch(r"[^\n:]*\.ya?ml\s*", str(path_or_text)))
    documents = read_documents(read_file(str(path_or_text).strip()) if named else str(path_or_text))
    configs = [plain(document) for document in documents if document is not None] or [{}]
    for index, config in enumerate(configs):
        mapping(config, f"tasks[{index}]" if len(configs) > 1 else "")
    header = configs.pop(0) if _is_header(configs[0], alone=len(configs) == 1) else {}
    dag = Dag(**_named_fields(header))
    token = collector.set(None)
    try:
        for task in _tasks(configs, env_overrides, secrets_overrides):
            dag.add(task)
    finally:
        collector.reset(token)
    if dag.is_job_group():
        dag.validate()
    else:
        for first, then in zip(dag.tasks, dag.tasks[1:], strict=False):
            dag.add_edge(first, then)
    if not header and len(dag) == 1:
        dag.name = dag.tasks[0].name
    return dag


def _is_header(config: Mapping[Any, Any], *, alone: bool) -> bool:
    return "execution" in config or (set(config) == {"name"} and not alone)


def _named_fields(header: Mapping[Any, Any]) -> dict[str, Any]:
    Header.parse(header, "")  # so that a key that is no text, or unknown, is told by its path
    return dict(header)


def _tasks(configs: Iterable[Any], envs: Any, secrets: Any) -> Iterator[Task]:
    configs = list(configs)
    if not configs:
        fail("", "there is a header, and no task", mend="Add a document for each task, after `---`")
    for index, config in enumerate(configs):
        if len(configs) == 1:
            yield Task.from_yaml_config(config, envs, secrets)
        else:
            yield _numbered(index, config, envs, secrets)


def _numbered(index: int, config: Any, envs: Any, secrets: Any) -> Task:
    from skynb.errors import SpecError

    try:
        return Task.from_yaml_config(config, envs, secrets)
    except SpecError as error:
        where = f"tasks[{index}]" + (f".{error.where}" if error.where else "")
        what, why, mend = error.what, error.why, error.mend
    return fail(where, what, why=why, mend=mend)


def _called(task: Task) -> str:
    return task.name or "a task without a name"
