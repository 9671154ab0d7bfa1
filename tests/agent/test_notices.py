"""Notices of the infra: watched by a command, kept by the agent, pushed to whoever listens."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

SAY = """
import os, sys, time
lines = sys.argv[1:]
for line in lines:
    print(line, flush=True)
open("said", "a").write(str(os.getpid()) + "\\n")
while os.read(0, 1):
    pass
"""
FIRST = {"kind": "preemption", "at": 100.0}
SECOND = {"kind": "rebalance", "at": 50.0}


@pytest.fixture
def watched(make_cluster, tmp_path):
    """Starts an agent with a command that says these lines, and writes down its process ID."""

    def start(*lines: str):
        script = f"import os; os.chdir({str(tmp_path)!r})\n{SAY}"
        return make_cluster().start(notices=[sys.executable, "-c", script, *lines])[0]

    return start


@pytest.fixture
def pids(tmp_path):
    """The process IDs of the commands that were started, in order."""

    def read() -> list[int]:
        said = tmp_path / "said"
        return [int(line) for line in said.read_text().split()] if said.exists() else []

    return read


def test_notices_are_in_the_answers(watched, eventually):
    """Hello and status have them, oldest first, each once; lines that are none are passed over."""
    nonsense = ("no", "[]", '{"kind": 1}', '{"kind": "x", "at": NaN}')
    solo = watched(json.dumps(FIRST), *nonsense, json.dumps(SECOND), json.dumps(FIRST))
    eventually(lambda: solo.call("hello")["notices"] == [FIRST, SECOND], "not heard")
    assert solo.call("status")["notices"] == [FIRST, SECOND]


def test_notices_are_pushed(watched, eventually):
    """A listener gets what is kept, and then what comes."""
    solo = watched(json.dumps(FIRST))
    eventually(lambda: solo.call("hello")["notices"], "not heard")
    line = solo.line()
    number = line.call("notices")["sub"]
    assert line.wait(lambda frame: frame.body.get("sub") == number).body["notice"] == FIRST


def test_the_command_is_started_again(watched, pids, eventually):
    """It was killed: another one comes, and what was known is not told twice."""
    solo = watched(json.dumps(FIRST))
    eventually(lambda: len(pids()) == 1, "did not start")
    os.kill(pids()[0], signal.SIGKILL)
    eventually(lambda: len(pids()) == 2, "did not start again")
    assert solo.call("hello")["notices"] == [FIRST]


def test_no_command_outlives_the_agent(watched, pids, eventually):
    """Stopped or killed, the agent takes its command with it."""
    solo = watched()
    eventually(lambda: len(pids()) == 1, "did not start")
    solo.kill9()
    eventually(lambda: not alive(pids()[0]), "outlived its agent")


def test_without_a_command_there_are_none(solo):
    """As on most infra, and with servers that know nothing of notices."""
    assert solo.call("hello")["notices"] == []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
