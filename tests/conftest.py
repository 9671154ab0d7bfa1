"""What every test may lean on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from skynb.control.clock import Clock

pytest_plugins = ("server_fixture",)

# Nothing a test does may touch the home or the cache of whoever runs it.
_SCRATCH = tempfile.TemporaryDirectory(prefix="skynb-tests-")
os.environ["SKYNB_HOME"] = str(Path(_SCRATCH.name) / "home")


class ManualClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
