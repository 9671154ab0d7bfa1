"""A task that brings its environment: it goes along as files, and is installed once per content."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from skynb.environment.here import Environment
from skynb.spec import Task

_PLACE = "~/.skynb-env"
_SETUP = """\
place=$HOME/.skynb-env env=$HOME/.skynb-env/{key}
if [ ! -e "$env/ready" ]; then
    uv=${{UV:-$(command -v uv || true)}}
    if [ -z "$uv" ]; then
        uv=$place/uv/bin/uv
        [ -x "$uv" ] || {{ python3 -m venv "$place/uv" && "$place/uv/bin/pip" install --quiet uv; }} || exit 1
    fi
    draft="$env.$$"
    "$uv" venv --quiet --relocatable --python '{python}' "$draft" &&
        "$uv" pip install --quiet --python "$draft/bin/python" --no-deps -r "$place/requirements.txt" &&
        touch "$draft/ready" || exit 1
    if [ -e "$env" ]; then rm -rf "$draft"; else mv "$draft" "$env"; fi
fi
printf '%s\\n' {roots} > "$(echo "$env"/lib/python*/site-packages)/skynb-env.pth"
"""
_RUN = 'export VIRTUAL_ENV="$HOME/.skynb-env/{key}" PATH="$HOME/.skynb-env/{key}/bin:$PATH"\n'


@contextmanager
def carried(task: Task, environment: Environment, requirements: str) -> Iterator[Task]:
    """The task in this environment, while its files are there to be sent.

    requirements: as `locked` gives them. The setup makes the environment unless the node has one of the same
    content; the task's own setup and run find it first on `PATH`.
    """
    key = hashlib.sha256(f"{environment.python}\n{requirements}".encode()).hexdigest()[:16]
    config, secrets = task.to_wire()
    changed = Task.from_wire(config, secrets)
    with tempfile.TemporaryDirectory(prefix="skynb-env-") as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text(requirements)
        mounts = {f"{_PLACE}/requirements.txt": str(pinned)}
        mounts |= {f"{_PLACE}/src/{name}": str(place) for name, place in environment.editable.items()}
        mounts |= {f"{_PLACE}/modules/{place.name}": str(place) for place in environment.modules.values()}
        changed.update_file_mounts(mounts)
        about = {"key": key, "python": _as_new(environment.python), "roots": _roots(environment)}
        path = _RUN.format(**about)
        changed.setup = "\n".join(part for part in (_SETUP.format(**about) + path, task.setup) if part)
        changed.run = path + (task.run or "") if task.run else task.run
        yield changed


def _as_new(python: str) -> str:
    """The versions that do in place of this one: of the same series, and not older."""
    major, minor, _ = python.split(".")
    return f">={python},<{major}.{int(minor) + 1}"


def _roots(environment: Environment) -> str:
    """The folders of editable installs and loose modules, as the node has them."""
    found = ["modules"]
    for root in environment.roots:
        name, project = next(pair for pair in environment.editable.items() if root.is_relative_to(pair[1]))
        below = root.relative_to(project).as_posix()
        found.append(f"src/{name}" + (f"/{below}" if below != "." else ""))
    return " ".join(f'"$place"/{quote(one)}' for one in found)
