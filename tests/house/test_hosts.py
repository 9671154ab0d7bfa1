"""The tests' own hosts: real machines to whoever looks, and gone without a trace."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.hosts import CHECKOUT, Lab, lab_missing, sweep


def opens(host, to: str, port: int = 22) -> bool:
    """Whether a program on the host can open a TCP connection."""
    script = f"import socket; socket.create_connection(({to!r}, {port}), timeout=1).close()"
    return host.ssh(["python3", "-c", script], check=False).returncode == 0


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex() if name.startswith("skynblab")}


def test_a_host_is_a_machine_of_its_own(lab):
    """Own name, first process, address and empty homes; nothing of this checkout or of our own homes."""
    host = lab.up("own")
    assert host.ssh(["hostname"]).stdout == b"own\n"
    assert "sshd" in host.processes()[1]
    assert not any("pytest" in line for line in host.processes().values())
    for folder in (str(CHECKOUT), str(Path.home() / ".ssh" / "id_rsa"), str(lab.folder)):
        assert host.ssh(["test", "-e", folder], check=False).returncode != 0
    assert host.ssh(["ls", "-A", "/home", "/tmp"]).stdout.split() == [b"/home:", b"/tmp:"]


def test_hosts_reach_each_other_and_not_our_loopback(lab):
    """Two hosts see each other and the gateway's ports, not what listens on this machine's 127.0.0.1."""
    one, two = lab.up("one"), lab.up("two")
    assert opens(one, two.address)
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server((lab.gateway, 0)) as near:
        assert not opens(one, "127.0.0.1", ours.getsockname()[1])
        assert opens(one, lab.gateway, near.getsockname()[1])


def test_a_partition_has_two_ends(lab):
    """A blocked host cannot reach the other, and can again when unblocked; everyone else always could."""
    one, two, three = lab.up("b1"), lab.up("b2"), lab.up("b3")
    one.block(two.address)
    assert not opens(one, two.address)
    assert opens(one, three.address)
    assert opens(three, two.address)
    one.unblock(two.address)
    assert opens(one, two.address)


def test_a_cut_host_lives_on(lab):
    """A pulled cable ends no process, and the host answers again when it is plugged in."""
    host = lab.up("cable")
    host.ssh(["sh", "-c", "sleep 300 >/dev/null 2>&1 &"])
    host.cut()
    with pytest.raises(OSError, match="timed out"):
        socket.create_connection((host.address, 22), timeout=0.3)
    host.heal()
    assert any(line == "sleep 300" for line in host.processes().values())


def test_a_crash_keeps_the_disk_and_the_host_key(lab):
    """After kill and up the files and the host key are the same; no process is."""
    host = lab.up("crash")
    host.ssh(["sh", "-c", "echo kept >/root/file; sleep 300 >/dev/null 2>&1 &"])
    key = (host.disk / "etc/ssh/lab_host_key").read_text()
    host.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host.address, 22), timeout=5)
    lab.up("crash")
    assert host.ssh(["cat", "/root/file"]).stdout == b"kept\n"
    assert "sleep 300" not in host.processes().values()
    assert (host.disk / "etc/ssh/lab_host_key").read_text() == key


def test_users_and_gpus(lab):
    """A host has the users that it was given, some with sudo, and as many GPUs as its nvidia-smi tells."""
    host = lab.up("users", user="ann")
    host.add_user("bob")
    host.add_gpus(2)
    assert host.ssh(["id", "-un"]).stdout == b"ann\n"
    assert host.ssh(["sudo", "-n", "id", "-un"]).stdout == b"root\n"
    assert host.ssh(["sudo", "-n", "true"], user="bob", check=False).returncode != 0
    asked = ["nvidia-smi", "--query-gpu=index,memory.total", "--format=csv,noheader,nounits"]
    assert host.ssh(asked, user="bob").stdout == b"0, 81920\n1, 81920\n"


def test_labs_side_by_side_end_without_a_trace():
    """Two labs have two networks; after them no interface, process or folder is left."""
    if missing := lab_missing():
        pytest.skip(missing)
    with Lab() as one, Lab() as two:
        assert one.number != two.number
        pids = [one.pid, two.pid]
        names = {f"skynblab{lab.number}" for lab in (one, two)}
        folders = [one.folder, two.folder]
        hosts = [one.up("n1"), two.up("n1")]
        assert [host.ssh(["hostname"]).stdout for host in hosts] == [b"n1\n", b"n1\n"]
        assert names <= interfaces()
    assert not names & interfaces()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(folder.exists() for folder in folders)


_OWNER = """
import sys, time
from tests.support.hosts import Lab
lab = Lab()
lab.up("n1")
print(lab.pid, lab.number, lab.folder, flush=True)
time.sleep(300)
"""


def test_a_killed_owner_leaves_a_folder_that_a_sweep_finds():
    """SIGKILL to a lab's owner ends its hosts and network; `sweep` removes its folder and no living lab's."""
    if missing := lab_missing():
        pytest.skip(missing)
    owner = subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert owner.stdout
    pid, number, folder = owner.stdout.readline().split()
    assert Path(folder).parent == Path(tempfile.gettempdir())
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 20
    while f"skynblab{number}" in interfaces() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the lab outlived its owner"
        time.sleep(0.02)
    with Lab() as living:
        sweep()
        assert living.key.exists()
    assert not Path(folder).exists()
