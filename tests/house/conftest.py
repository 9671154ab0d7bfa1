"""What is in the repository, and what of it is the product."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.house import PACKAGES, ROOT


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that is in the repository or about to be."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    return [path for path in map(ROOT.joinpath, names) if path.is_file()]


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every Python file of the product."""
    return [path for package in PACKAGES.values() for path in sorted(package.rglob("*.py"))]
