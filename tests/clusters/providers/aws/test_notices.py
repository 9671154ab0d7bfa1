"""The program that watches the metadata service of a machine, alone with a real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skynb_clusters.contract import Machine
from skynb_clusters.providers.aws import AwsProvider
from tests.support import metadata


@pytest.fixture
def service(tmp_path):
    """Its address; a notice is a file in `notices`."""
    argv = [sys.executable, metadata.__file__, "127.0.0.1", "0", str(tmp_path / "notices")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def watcher(service, tmp_path):
    """The command that the provider gives, told where to look and how often."""
    spot = Machine(id="i-1", token="", state="running", tags={}, spot=True)
    argv = [*AwsProvider(tmp_path / "aws").notice_command(spot), service, "0.05"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def put(folder: Path, kind: str, **told: str) -> None:
    draft = folder / "draft"
    draft.write_text(json.dumps(told))
    draft.rename(folder / kind)


def test_each_notice_is_one_line(watcher, tmp_path):
    """Both kinds, in seconds since the epoch; a notice that stands is not told twice, one that moves is."""
    notices = tmp_path / "notices"
    put(notices, "rebalance", noticeTime="2026-01-02T03:04:05Z")
    assert json.loads(watcher.stdout.readline()) == {"kind": "rebalance", "at": 1767323045.0}
    put(notices, "preemption", action="terminate", time="2026-01-02T03:06:05Z")
    assert json.loads(watcher.stdout.readline()) == {"kind": "preemption", "at": 1767323165.0}
    put(notices, "preemption", action="terminate", time="2026-01-02T03:07:05Z")
    assert json.loads(watcher.stdout.readline()) == {"kind": "preemption", "at": 1767323225.0}


def test_a_token_that_no_longer_holds_is_renewed_and_nonsense_is_passed_over(watcher, tmp_path):
    """Neither stops the watching."""
    notices = tmp_path / "notices"
    (notices / "rebalance").write_text("not JSON")
    (notices / "forget").touch()
    put(notices, "rebalance", noticeTime="2026-01-02T03:04:05Z")
    assert json.loads(watcher.stdout.readline())["kind"] == "rebalance"


def test_it_ends_with_its_input(watcher):
    """None outlives an agent that was killed."""
    watcher.stdin.close()
    assert watcher.wait(10) == 0


def test_on_demand_machines_are_not_watched(tmp_path):
    """EC2 takes only spot machines away."""
    assert not AwsProvider(tmp_path).notice_command(Machine(id="i-1", token="", state="running", tags={}))
