"""From what was typed, or written into a cell, to a task."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skynb.cli.face import face
from skynb.errors import SpecError

if TYPE_CHECKING:
    from skynb.spec import Dag, Task

_RESOURCES = (
    "infra",
    "cloud",
    "region",
    "zone",
    "cpus",
    "memory",
    "disk_size",
    "disk_tier",
    "network_tier",
    "use_spot",
    "image_id",
    "local_disk",
    "instance_type",
    "ports",
    "priority",
)
_KEY = re.compile(r"[A-Za-z_]\w*")
_SHELLS = re.compile(r"#!\s*(/usr)?/bin/(env\s+)?(ba|da|z)?sh\b")
_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")


def task_from(entrypoint: Sequence[str], fields: dict[str, Any]) -> Task:
    """The one task of a YAML file, a bare command, `-` (standard input) or the cell, the options over it."""
    from skynb.client.tasks import only_task

    return only_task(dag_from(entrypoint, fields))


def dag_from(entrypoint: Sequence[str], fields: dict[str, Any]) -> Dag:
    """The same for any number of tasks; options go over each of them."""
    if fields["infra"] and any(fields[key] for key in ("cloud", "region", "zone")):
        raise click.UsageError("--infra says cloud, region and zone")
    envs = _variables("env", fields)
    secrets = _variables("secret", fields)
    dag = _parsed(_source(entrypoint), envs, secrets)
    if fields["name"] and len(dag) > 1:
        dag.name = fields["name"]
    for task in dag:
        if fields["name"] and len(dag) == 1:
            task.name = dag.name = fields["name"]
        _lay_over(task, fields)
    return dag


def _lay_over(task: Task, fields: dict[str, Any]) -> None:
    if fields["num_nodes"] is not None:
        task.num_nodes = fields["num_nodes"]
    if fields["workdir"] or fields["git_url"] or fields["git_ref"]:
        task.update_workdir(fields["workdir"], fields["git_url"], fields["git_ref"])
    overrides = {key: _cleared(fields[key]) for key in _RESOURCES if fields[key] not in (None, ())}
    if fields["gpus"] is not None:
        overrides["accelerators"] = _cleared(fields["gpus"])
    if overrides:
        task.set_resources_override(overrides)


def _source(entrypoint: Sequence[str]) -> str | Path:
    """A file, or a text that is YAML or a script."""
    body = face().body
    if body is not None:
        if entrypoint:
            raise click.UsageError(f"the cell is the task; {entrypoint[0]!r} is one too many")
        return body
    if list(entrypoint) == ["-"]:
        return sys.stdin.read()
    if len(entrypoint) == 1 and entrypoint[0].endswith((".yaml", ".yml")):
        return Path(entrypoint[0])
    return " ".join(entrypoint)


def _parsed(source: str | Path, envs: dict[str, str], secrets: dict[str, str]) -> Dag:
    from skynb.client.tasks import dag_of
    from skynb.spec import Task, load_dag

    if isinstance(source, Path) or is_yaml(source):
        return load_dag(source, env_overrides=envs, secrets_overrides=secrets)
    script = source.strip("\n")
    first = script.partition("\n")[0]
    if first.startswith("#!") and not _SHELLS.match(first):
        mend = "Run the interpreter from the script, as in `python3 - <<'END'`"
        raise SpecError(f"a bare script is for bash, not for {first[2:].strip()!r}", where="run", mend=mend)
    config = {"run": script} if script.strip() else {}
    return dag_of(Task.from_yaml_config(config, envs, secrets))


def is_yaml(text: str) -> bool:
    """Whether a text is a task in YAML, be it a wrong one, rather than a script."""
    from skynb.spec import Task
    from skynb.spec.documents import read_documents

    try:
        first = next((item for item in read_documents(text) if item is not None), None)
    except SpecError:
        keys = "|".join(Task.FIELDS)
        return re.search(rf"^({keys}):(\s|$)", text, re.MULTILINE) is not None
    return isinstance(first, dict) and all(isinstance(key, str) and _KEY.fullmatch(key) for key in first)


def _cleared(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, str) and value.lower() == "none" else value


def _variables(kind: str, fields: dict[str, Any]) -> dict[str, str]:
    """The file's variables, and over them those of the options. Values are never quoted in messages."""
    found = _file(Path(fields[f"{kind}_file"]), kind) if fields[f"{kind}_file"] else {}
    for item in fields[kind]:
        name, given, value = item.partition("=")
        if not _KEY.fullmatch(name):
            raise click.BadParameter("NAME=value or NAME is expected", param_hint=f"--{kind}")
        if not given and name not in os.environ:
            raise click.BadParameter(f"{name} is not set here; give NAME=value", param_hint=f"--{kind}")
        found[name] = value if given else os.environ[name]
    return found


def _file(path: Path, kind: str) -> dict[str, str]:
    from skynb.spec.documents import read_file

    found = {}
    for number, line in enumerate(read_file(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _ASSIGNED.fullmatch(text)
        if match is None:
            raise SpecError("NAME=value is expected", where=f"--{kind}-file {path}, line {number}")
        name, value = match.groups()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name] = value[1:-1] if quoted else value.partition(" #")[0].rstrip()
    return found
