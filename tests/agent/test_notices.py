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


@pytest.fixture
def warned(make_cluster, tmp_path):
    """An agent whose machine is going to be taken as soon as the file `go` is there."""
    wait = f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.02)"
    script = f"import os, time\nos.chdir({str(tmp_path)!r})\n{wait}\n{SAY}"
    lines = [json.dumps(FIRST), json.dumps(SECOND)]
    return make_cluster().start(notices=[sys.executable, "-c", script, *lines])[0]


def test_a_hook_runs_beside_the_work_when_the_machine_goes(warned, tmp_path, eventually):
    """Once, in the work's surroundings and log; the work goes on, and what has ended has no hook any more."""
    hook = "echo $SKYPILOT_HOOK_EVENT $KEY $SKYNB_NODE_RANK; touch saved"
    warned.submit(1, run="true", hooks=[{"run": "touch never"}])
    warned.wait_job("SUCCEEDED", number=1)
    run = "while [ ! -e saved ]; do sleep 0.05; done; sleep 0.3; echo on"
    warned.submit(2, run=run, secret_env={"KEY": "k"}, hooks=[{"run": hook}])
    warned.wait_job("RUNNING", number=2)
    (tmp_path / "go").touch()
    warned.wait_job("SUCCEEDED", number=2)
    assert warned.log(2) == "preemption k 0\non\n"
    assert not (warned.home / "never").exists()


def test_a_hook_ends_with_its_time_or_with_the_work(warned, tmp_path, eventually):
    """One that takes too long is ended and the work is not; one that runs when the work ends goes with it."""
    hooks = [{"run": "echo $$ >pid; exec sleep 600", "timeout": 1}, {"run": "touch begun; exec sleep 600"}]
    look = "sleep 3; kill -0 $(cat pid) 2>/dev/null || echo gone"
    warned.submit(run=f"while [ ! -e begun ]; do sleep 0.05; done; {look}", hooks=hooks)
    warned.wait_job("RUNNING")
    (tmp_path / "go").touch()
    warned.wait_job("SUCCEEDED")
    assert "gone" in warned.log()
    eventually(lambda: warned.marked() == set(), "a hook is left")
