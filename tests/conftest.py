"""What every test may lean on."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from skynb.control.clock import Clock
from tests.support.depth import EXPLORING

# `make test` says the same each time; with SKYNB_TEST_EXPLORE set, as in `make test-long`, it looks further.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if EXPLORING else "steady")

pytest_plugins = ("tests.host_fixture", "tests.server_fixture")

# Nothing a test does may touch the home or the cache of whoever runs it.
_SCRATCH = tempfile.TemporaryDirectory(prefix="skynb-tests-")
os.environ["SKYNB_HOME"] = str(Path(_SCRATCH.name) / "home")
os.environ["JUPYTER_DATA_DIR"] = str(Path(_SCRATCH.name) / "jupyter")


def pytest_unconfigure() -> None:
    """Nothing is left; a worker may be ended before its interpreter comes to that by itself."""
    simulation = sys.modules.get("tests.support.simulation")
    if simulation is not None:
        simulation.forget()
    _SCRATCH.cleanup()


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
