"""What a person gets: the wheel and the sdist, and an environment that has only the wheel of us."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.house import PACKAGES, ROOT

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("packaging")]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it, as `python -m build` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="session")
def fresh(built, tmp_path_factory) -> Path:
    """The Python of a new environment with our wheel, and the dependencies of this one beside it."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    env = {**os.environ, "UV_OFFLINE": "1"}
    run = [sys.executable, "-m", "uv"]
    subprocess.run([*run, "venv", "-q", "--python", sys.executable, str(folder)], check=True, env=env)
    python = folder / "bin/python"
    install = [*run, "pip", "install", "-q", "--no-deps", "--python", str(python), str(built["wheel"])]
    subprocess.run(install, check=True, env=env)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def files_of_the_house() -> set[str]:
    """Every file of every package, as it must lie in a wheel."""
    found = set()
    for name, folder in PACKAGES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(f"{name}/{path.relative_to(folder)}")
    return found


def test_the_wheel_holds_the_whole_house(built):
    """Every module, py.typed, the snapshot, the migrations and the agent's sources; no tests."""
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = set(wheel.namelist())
    assert files_of_the_house() - names == set()
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert [name for name in names if name.startswith("skynb_catalog/snapshot/") and not name.endswith(".py")]
    assert "skynb/control/migrations/versions/0001_first.py" in names
    assert "skynb_agent/__main__.py" in names
    assert any(name.endswith("etc/jupyter/jupyter_server_config.d/skynb.json") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.split("/")[0] in {"tests", "docs", "benchmarks"}]


def test_the_sdist_holds_what_a_packager_needs(built):
    """Sources in their folders, tests, docs, licence; nothing that was made."""
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for folder in PACKAGES.values():
        here = folder.relative_to(ROOT)
        assert str(here / "py.typed") in names
        for path in folder.rglob("*.py"):
            assert str(path.relative_to(ROOT)) in names
    assert {"LICENSE", "README.md", "pyproject.toml", "constraints.txt", "tests/conftest.py"} <= names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_alone_is_enough(fresh, tmp_path):
    """Every package and every public name imports from the wheel, far from the sources."""
    code = f"""
import importlib, sys
for name in {sorted(PACKAGES)!r}:
    module = importlib.import_module(name)
    assert {str(fresh.parents[1])!r} in module.__file__, module.__file__
import skynb
for name in skynb.__all__:
    getattr(skynb, name)
print(skynb.__version__)
"""
    done = run(fresh, tmp_path, "-c", code)
    assert done.stdout.strip()


def test_the_wheel_runs_a_server_and_a_node(fresh, tmp_path):
    """Migrations, snapshot and agent are found where the wheel put them: a cluster comes up and goes."""
    code = """
import time
from skynb.client import server
from skynb.client.http import Connection
from skynb.wire import ClusterInfo, LaunchAnswer, LaunchRequest
connection = Connection()
request = LaunchRequest(task={"resources": {"infra": "local"}, "run": "echo out of the wheel"})
try:
    name = connection.call("POST", "/clusters", LaunchAnswer, body=request).cluster
    text = ""
    for event in connection.stream(f"/clusters/{name}/jobs/1/logs"):
        text += str(event.data.get("text", ""))
    print(text)
    connection.call("DELETE", f"/clusters/{name}", ClusterInfo)
    while not connection.call("GET", f"/clusters/{name}", ClusterInfo).final:
        time.sleep(0.05)
finally:
    connection.close()
    server.stop()
"""
    done = run(fresh, tmp_path, "-c", code)
    assert "out of the wheel" in done.stdout


def run(python: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the fresh Python away from the sources, in a scratch home."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"SKYNB_HOME": str(folder / "home"), "SKYNB_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [str(python), *args], cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done
