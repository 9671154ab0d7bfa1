"""The environment of whoever asks: what is read here, what uv says of it, what a node gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skynb import Task, jobs
from skynb.environment import Environment, Pin, imported, locked, read
from skynb.environment.lock import _uv
from skynb.errors import SpecError
from tests.support.wheels import wheel

PYTHON = "{}.{}.{}".format(*sys.version_info)


def installed(
    site: Path, name: str, version: str, needs: tuple[str, ...] = (), url: dict | None = None
) -> None:
    """Its entry in a site folder."""
    about = site / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    (about / "METADATA").write_text("Metadata-Version: 2.1\n" + "".join(f"{line}\n" for line in lines))
    if url is not None:
        (about / "direct_url.json").write_text(json.dumps(url))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels, which is all that uv may look at."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    settings = tmp_path / "uv.toml"
    settings.write_text(f"no-index = true\nfind-links = [{json.dumps(str(folder))}]\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    return folder


@pytest.fixture
def place(tmp_path):
    """A site folder with a pinned, an editable and a tool's distribution, and modules beside."""
    site, project, here = tmp_path / "site", tmp_path / "project", tmp_path / "here"
    installed(site, "greeter", "1.5", ("appnope>=0.1; sys_platform == 'darwin'",))
    installed(site, "appnope", "0.1.4")
    installed(site, "pip", "24.0")
    installed(site, "mine", "0.1", url={"url": project.as_uri(), "dir_info": {"editable": True}})
    commit = {"vcs": "git", "commit_id": "abc"}
    installed(site, "forked", "2.0", url={"url": "https://example.org/forked.git", "vcs_info": commit})
    (project / "src/mine").mkdir(parents=True)
    (project / "src/mine/__init__.py").write_text("WORD = 'mine'\n")
    here.mkdir()
    (here / "loose.py").write_text("import pathlib, deeper\nWORD = deeper.WORD\n")
    (here / "deeper").mkdir()
    (here / "deeper/__init__.py").write_text("WORD = 'deeper'\n")
    (here / "unused.py").write_text("")
    return [str(site), str(project / "src"), str(here)]


def test_what_an_interpreter_has_is_read(place):
    """Versions, commits, projects in place, modules that are imported, in turn; no tools, nothing unused."""
    found = read(imported(["%matplotlib inline\nimport loose, mine, json"]), path=place, also=("extra",))
    assert [pin.requirement for pin in found.pins] == [
        "appnope==0.1.4",
        "forked @ git+https://example.org/forked.git@abc",
        "greeter==1.5",
    ]
    assert {name: one.name for name, one in found.editable.items()} == {"mine": "project"}
    assert [root.name for root in found.roots] == ["src"]
    assert {name: one.name for name, one in found.modules.items()} == {
        "loose": "loose.py",
        "deeper": "deeper",
    }
    assert found.also == ("extra",)
    assert str(found) == f"Python {PYTHON}, 3 distributions; in place: mine; modules: deeper, loose"


def test_versions_are_found_for_the_node(index, place):
    """What is wanted on other systems only stays behind; what is asked for beside gets any version."""
    wheel(index, "greeter", "1.5", "")
    wheel(index, "extra", "3.0", "")
    found = read(path=place, also=("extra",))
    text = locked(found, "x86_64", without=["Forked"])
    assert text.split() == ["extra==3.0", "greeter==1.5"]


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_what_cannot_be_had_there_is_said(index, arch):
    """By name, with the platform, and how to go on."""
    wheel(index, "fast", "1.0", "", tag="cp311-cp311-macosx_11_0_arm64")
    environment = Environment(PYTHON, (Pin("fast", "1.0"),))
    with pytest.raises(SpecError, match=f"cannot be had on Linux {arch}.*fast.*env-without") as caught:
        locked(environment, arch)
    assert caught.value.where == "env_sync"
    assert locked(environment, arch, without=["fast"]) == ""


def test_a_job_runs_in_it(index, place, server):
    """On a real node: versions from the index, projects and modules in place."""
    wheel(index, "greeter", "1.5", "WORD = 'greeter'\n")
    environment = read({"loose"}, path=place)
    run = "python -c 'import greeter, mine, loose; print(greeter.WORD, mine.WORD, loose.WORD)'"
    envs = {"UV_CONFIG_FILE": os.environ["UV_CONFIG_FILE"], "UV": _uv()}
    task = Task(run=run, resources={"infra": "local"}, envs=envs)
    asked = {"env_sync": environment, "env_without": ("forked", "appnope")}
    handle = jobs.launch(task, **asked)
    assert "greeter mine deeper" in list(handle)
    handle.result(60)
    assert task.setup is None, "the task itself stays as it is"


def test_the_command_line_shows_it_and_refuses_what_cannot_be_had(index):
    """This interpreter's own, of which the index has nothing; nothing is handed over."""
    argv = [
        sys.executable,
        "-m",
        "skynb.cli",
        "jobs",
        "launch",
        "--env-sync",
        "--infra",
        "local",
        "-y",
        "true",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"environment: Python {PYTHON}, " in done.stderr + done.stdout
    assert "this environment cannot be had on this machine" in done.stderr
    assert "Traceback" not in done.stderr
