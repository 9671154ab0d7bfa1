"""Infra `local`: real processes that come, stop, crash and go, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from skynb.errors import ProviderError
from skynb_clusters.contract import Machine, NodeRequest
from skynb_clusters.providers import processes
from skynb_clusters.providers.local import LocalProvider

NOBODY = Machine(id="local-000000000000", token="t", state="running", tags={})


@pytest.fixture
def provider(tmp_path):
    made = LocalProvider(tmp_path / "local")
    yield made
    for machine in made.list({}).machines:
        made.terminate(machine)


def request(token: str = "t", **tags: str) -> NodeRequest:
    return NodeRequest(token=token, name="n", tags=tags, instance_type="this-machine")


def mark(machine) -> str:
    return f"SKYNB_LOCAL_MACHINE={machine.id}"


def run(provider, machine, script: str) -> str:
    process = provider.transport(machine).exec(["/bin/sh", "-c", script])
    try:
        process.stdin.close()
        output = process.stdout.read().decode()
        process.wait(10)
        return output
    finally:
        process.close()


def init_pid(provider, machine) -> int:
    card = provider._folder / machine.id / "machine.json"
    return int(msgspec.json.decode(card.read_bytes())["init_pid"])


def until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def test_the_same_token_is_the_same_machine_even_at_once(provider):
    """Eight threads create with one token: one machine, one init."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(provider.create(request()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({machine.id for machine in found}) == 1
    assert len(provider.list({}).machines) == 1
    assert len(processes.marked(mark(found[0])) - {init_pid(provider, found[0])}) <= 1  # the sleep of init


def test_tags_are_there_from_the_first_moment_and_choose(provider):
    """`list` finds a machine by any of its tags, and not by others."""
    machine = provider.create(request(**{"skynb-record": "node-1-0", "skynb-rank": "0"}))
    assert [found.id for found in provider.list({"skynb-record": "node-1-0"}).machines] == [machine.id]
    assert provider.list({"skynb-record": "node-2-0"}).machines == ()


def test_a_creation_cut_short_is_seen_and_finished_by_its_token(provider):
    """The folder is there and no process is: off, and creating again with the token boots it."""
    machine = provider.create(request())
    place = provider._folder / machine.id / "machine.json"
    card = msgspec.json.decode(place.read_bytes())
    processes.end_marked(mark(machine), grace_s=0)
    place.write_bytes(msgspec.json.encode(card | {"init_pid": 0, "init_born": ""}))
    assert provider.list({}).machines[0].state == "stopped"
    assert provider.create(request()).id == machine.id
    assert provider.list({}).machines[0].state == "running"


def test_terminate_leaves_no_process_and_no_file(provider):
    """Children that left the session, ignore TERM or were orphaned all go, and the folder with them."""
    machine = provider.create(request())
    run(
        provider,
        machine,
        "exec >/dev/null 2>&1; setsid sleep 300 & (trap '' TERM; sleep 301) & nohup sleep 302 &",
    )
    assert len(processes.marked(mark(machine))) >= 4
    provider.terminate(machine)
    assert processes.marked(mark(machine)) == set()
    assert provider.list({}).machines == ()
    assert sorted(path.name for path in provider._folder.iterdir()) == ["lock"]


def test_terminate_of_what_is_not_there_does_nothing(provider):
    """skypilot#632: deleting an absent machine succeeds."""
    provider.terminate(NOBODY)
    provider.stop(NOBODY)
    with pytest.raises(ProviderError, match="no local machine"):
        provider.start(NOBODY)


def test_stop_keeps_the_disk_and_start_brings_it_back(provider):
    """A file written before the stop is read after the start, by a new init."""
    machine = provider.create(request())
    first = init_pid(provider, machine)
    run(provider, machine, "echo kept > $HOME/file")
    provider.stop(machine)
    assert provider.list({}).machines[0].state == "stopped"
    assert processes.marked(mark(machine)) == set()
    provider.start(machine)
    assert provider.list({}).machines[0].state == "running"
    assert init_pid(provider, machine) != first
    assert run(provider, machine, "cat $HOME/file") == "kept\n"


def test_a_machine_whose_init_is_killed_is_off(provider):
    """Power off: state stopped, and what still ran on it is gone."""
    machine = provider.create(request())
    run(provider, machine, "setsid sleep 300 >/dev/null 2>&1 &")
    os.kill(init_pid(provider, machine), signal.SIGKILL)
    until(lambda: provider.list({}).machines[0].state == "stopped")
    assert processes.marked(mark(machine)) == set()


@pytest.mark.parametrize(("mode", "left"), [("stop", 1), ("down", 0)])
def test_a_node_can_end_itself(provider, mode, left):
    """The end command, run on the node itself with the node's own mark, ends everything on it."""
    machine = provider.create(request())
    process = provider.transport(machine).exec(provider.end_command(machine, mode))
    until(lambda: processes.marked(mark(machine)) == set())
    until(lambda: len(provider.list({}).machines) == left)
    process.close()
    if left:
        assert provider.list({}).machines[0].ended_by == "node"


def test_nodes_do_not_see_the_servers_environment(provider, monkeypatch):
    """G12: a secret in the server's environment does not reach programs on the node; its own names do."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-5123")
    machine = provider.create(request(**{"skynb-cluster": "train", "skynb-rank": "1"}))
    seen = run(provider, machine, "env")
    assert "canary-5123" not in seen
    assert "HOSTNAME=train-1" in seen
    assert f"HOME={provider._folder / machine.id / 'disk' / 'home'}" in seen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives every node its own loopback address")
def test_every_node_has_its_own_address(provider):
    """Two machines, two addresses, both usable at once with the same port."""
    first, second = provider.create(request("a")), provider.create(request("b"))
    assert first.address != second.address
    import socket

    with socket.socket() as one, socket.socket() as two:
        one.bind((first.address, 0))
        two.bind((second.address, one.getsockname()[1]))


def test_processes_are_found_without_proc_as_well():
    """The way of macOS, by `ps`, finds the same marked process."""
    child = subprocess.Popen(
        ["sleep", "60"], env={"SKYNB_LOCAL_MACHINE": "local-ps-test", "PATH": os.defpath}
    )
    try:
        assert child.pid in processes._marked_by_ps("SKYNB_LOCAL_MACHINE=local-ps-test")
        assert processes._ps_start_time(child.pid)
    finally:
        child.kill()
        child.wait()
    assert processes.start_time(child.pid) is None


def test_a_node_that_ends_itself_is_not_saved_by_who_looks(provider):
    """A list while the end command is at work does not end that command: the machine goes, whole."""
    for number in range(3):
        machine = provider.create(request(f"ends-itself-{number}"))
        process = provider.transport(machine).exec(provider.end_command(machine, "down"))
        until(lambda: not provider.list({}).machines)
        process.wait(10)
        process.close()
    assert sorted(path.name for path in provider._folder.iterdir()) == ["lock"]


def test_an_end_that_was_cut_short_is_finished_by_who_looks(provider):
    """The end command was killed after it had begun: the next lists end the machine."""
    machine = provider.create(request())
    place = provider._folder / machine.id / "machine.json"
    card = msgspec.json.decode(place.read_bytes())
    place.write_bytes(msgspec.json.encode(card | {"ending_at": time.time() - 60}))
    processes.end_marked(mark(machine), grace_s=0)
    until(lambda: not [one for one in provider.list({}).machines if one.state != "terminated"])
    assert provider.list({}).machines == ()
