"""The house as files: its root, its packages, what is in its repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "skynb": ROOT / "skynb",
    "skynb_agent": ROOT / "agent/skynb_agent",
    "skynb_catalog": ROOT / "catalog/skynb_catalog",
    "skynb_clusters": ROOT / "clusters/skynb_clusters",
    "skynb_jobs": ROOT / "jobs/skynb_jobs",
    "skynb_jupyter": ROOT / "jupyter_extension/skynb_jupyter",
    "skynb_magics": ROOT / "magics/skynb_magics",
    "skynb_serve": ROOT / "serve/skynb_serve",
}


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that is in the repository or about to be."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    return [path for path in map(ROOT.joinpath, names) if path.is_file()]


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every Python file of the product."""
    return [path for package in PACKAGES.values() for path in sorted(package.rglob("*.py"))]
