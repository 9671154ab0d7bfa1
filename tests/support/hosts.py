"""A lab of hosts: machines that boot in a third of a second, each with its own address, disk, users and sshd.

A host is a set of namespaces with sshd as its first process. Its disk lies over this machine's own `/`, less
all that is ours (see `host_disks`). A lab lives in namespaces of its own too, and the first process of its
process namespace reads a pipe from us. When we end, in whatever way, so does it, and the kernel ends with it
every process, mount and interface of the lab. Only a folder with a key is left then, which `sweep` removes.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import final

from tests.support import host_disks
from tests.support.host_disks import CHECKOUT

__all__ = ["CHECKOUT", "Host", "Lab", "lab_missing", "sweep"]

PROGRAMS = ("ip", "ssh", "sshd", "rsync", "unshare", "nsenter", "mount")
START_SECONDS = 15.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FOLDER = "skynb-lab-"
_NETWORKS = 256  # 198.18.0.0/16 is set aside for tests of networks, so no real one is hidden

_KEEPER = """
mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns /run/hosts || exit 1
ip link set lo up && ip link add br0 type bridge && ip link set br0 up || exit 1
echo ready
exec cat
"""


def lab_missing() -> str:
    """What this machine lacks for a lab, in words; empty if nothing."""
    if os.uname().sysname != "Linux":
        return "hosts are namespaces of Linux"
    if os.geteuid() != 0:
        return "only root may make hosts"
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]:
        return f"hosts need {', '.join(missing)}: run tools/lab"
    if "overlay" not in Path("/proc/filesystems").read_text():
        subprocess.run(["modprobe", "overlay"], check=False, capture_output=True)
        if "overlay" not in Path("/proc/filesystems").read_text():
            return "this kernel has no overlay file system"
    if Path("/usr").stat().st_dev != Path("/").stat().st_dev:
        return "/usr is a file system of its own, which hosts cannot share"
    return _refused()


def _refused() -> str:
    tried = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", "/run"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"namespaces are refused here: {tried.stderr.strip()}" if tried.returncode else ""


def sweep() -> None:
    """Remove what labs of processes that are no more have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid, _, born = folder.name.removeprefix(_FOLDER).rpartition("-")[0].partition("-")
        if pid.isdigit() and _born(int(pid)) != born:
            shutil.rmtree(folder, ignore_errors=True)


@final
class Lab:
    """Hosts on one network; a context. `key` opens every login, `gateway` is this machine's address there."""

    def __init__(self) -> None:
        prefix = f"{_FOLDER}{os.getpid()}-{_born(os.getpid())}-"
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        self.key = self.folder / "id"
        self.hosts: dict[str, Host] = {}
        self._numbers = itertools.count(10)
        self._keeper: subprocess.Popen[bytes] | None = None
        try:
            self.public_key = host_disks.write_key(self.key)
            self._keeper = self._start()
            self.pid = _only_child(self._keeper.pid)
            self.number = self._join()
        except BaseException:
            self.sweep()
            raise
        self.gateway = self.address(1)

    def up(
        self, name: str, *, user: str = "root", sudo: bool = True, shows: Sequence[str | Path] = ()
    ) -> Host:
        """Boot a host, or boot it again with its disk; returns when its sshd answers.

        user: whose login `host.ssh` is; made with an own home if it is not root, with sudo if asked. shows:
        folders of this machine that it sees at the same place, to read.
        """
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(self, name, self.address(next(self._numbers)), user)
            host.make()
            for path in shows:
                self.inside(host_disks.SHOW, name, str(path))
            if user != "root":
                host.add_user(user, sudo=sudo)
        host.boot()
        return host

    def address(self, number: int) -> str:
        """The address of this number on the lab's network."""
        return f"198.18.{self.number}.{number}"

    def inside(self, script: str, *arguments: str) -> str:
        """Run a shell script in the lab's own namespaces, where its hosts are plugged in."""
        return _run([*self.enter(), "/bin/sh", "-ec", script, "lab", *arguments])

    def enter(self) -> list[str]:
        """The argv prefix that enters the lab's namespaces."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--"]

    def disk(self, name: str) -> Path:
        """Where a host's files lie, as seen from here."""
        return Path(f"/proc/{self.pid}/root/run/hosts/{name}")

    def sweep(self) -> None:
        """End everything. Safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if keeper:
            assert keeper.stdin
            assert keeper.stdout
            keeper.stdin.close()
            keeper.wait(START_SECONDS)
            keeper.stdout.close()
            for host in self.hosts.values():
                host.ended()
            deadline = time.monotonic() + START_SECONDS
            while Path(f"/sys/class/net/{self._interface()}").exists():
                assert time.monotonic() < deadline, "the lab's network stayed"
                time.sleep(0.005)
        self.hosts.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sweep()

    def _start(self) -> subprocess.Popen[bytes]:
        keeper = subprocess.Popen(
            ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "/bin/sh", "-c", _KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": _PATH},
            start_new_session=True,
        )
        assert keeper.stdout
        if keeper.stdout.readline() != b"ready\n":
            keeper.wait()
            raise RuntimeError("the lab did not start")
        return keeper

    def _join(self) -> int:
        """Take the first free network: its interface has its number, and only one of that name can be."""
        for turn in range(_NETWORKS):
            self.number = (os.getpid() + turn) % _NETWORKS
            here = self._interface()
            there = ["peer", "name", "up0", "netns", str(self.pid)]
            try:
                _run(["ip", "link", "add", here, "type", "veth", *there])
            except subprocess.CalledProcessError as error:
                if "exists" in error.stderr:
                    continue
                raise
            _run(["ip", "address", "add", f"{self.address(1)}/24", "dev", here])
            _run(["ip", "link", "set", here, "up"])
            self.inside("ip link set up0 master br0 up")
            return self.number
        raise RuntimeError("no network is free for a lab")

    def _interface(self) -> str:
        return f"skynblab{self.number}" if hasattr(self, "number") else "skynblab"


class Host:
    """One machine of a lab. `user` is whom `ssh` logs in as; root can be logged in as too."""

    def __init__(self, lab: Lab, name: str, address: str, user: str) -> None:
        self.lab = lab
        self.name = name
        self.address = address
        self.user = user
        self._init: subprocess.Popen[bytes] | None = None

    @property
    def disk(self) -> Path:
        """The root of its file system, to look into and write to from here."""
        return self.lab.disk(self.name) / "root"

    def make(self) -> None:
        """Give it a disk and a cable."""
        place = self.lab.disk(self.name)
        host_disks.prepare(place / "upper")
        (place / "work").mkdir()
        (place / "root").mkdir()
        octets = [int(octet) for octet in self.address.split(".")]
        # A hardware address that follows from the other: a random one would leave stale entries about.
        hardware = "02:c7:" + ":".join(f"{octet:02x}" for octet in octets)
        self.lab.inside(
            host_disks.PLUG, self.name, self._cable(), self.address, hardware, self.lab.address(1)
        )
        host_disks.write_identity(self.disk, self.name, self.lab.public_key)

    def boot(self) -> None:
        """Start its first process; nothing if it runs."""
        if self.running():
            return
        with (self.lab.folder / f"{self.name}.log").open("ab") as log:
            self._init = subprocess.Popen(
                [*self.lab.enter(), *host_disks.init(self.name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _PATH, "HOME": "/root"},
                start_new_session=True,
            )
        self._await()

    def ssh(
        self, argv: Sequence[str], *, user: str = "", data: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program on the host over plain ssh; its exit status, output and errors."""
        options = ["BatchMode=yes", "ConnectTimeout=5", "LogLevel=ERROR", "StrictHostKeyChecking=no"]
        known = ["UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "IdentityAgent=none"]
        flags = [part for option in (*options, *known) for part in ("-o", option)]
        to = f"{user or self.user}@{self.address}"
        return subprocess.run(
            ["ssh", "-F", "none", *flags, "-i", str(self.lab.key), to, shlex.join(argv)],
            input=data,
            capture_output=True,
            check=check,
            timeout=60,
        )

    def add_user(self, name: str, *, sudo: bool = False, key: str = "", password: str = "") -> None:
        """A user with a home. key: the public key that opens the login, the lab's if empty."""
        host_disks.add_user(self.disk, name, key or self.lab.public_key, sudo=sudo, password=password)

    def add_gpus(self, count: int, model: str = "NVIDIA A100-SXM4-80GB", mib: int = 81920) -> None:
        """Give it an nvidia-smi that tells of this many GPUs; -1 for one whose driver is broken."""
        host_disks.write_gpus(self.disk, count, model, mib)

    def processes(self) -> dict[int, str]:
        """Command lines by process ID, as root on the host would see them."""
        listed = self.ssh(["ps", "-eo", "pid=,args="], user="root").stdout.decode().splitlines()
        return {int(line.split()[0]): line.split(None, 1)[1] for line in listed}

    def running(self) -> bool:
        """Whether its first process lives."""
        return self._init is not None and self._init.poll() is None

    def kill(self) -> None:
        """Crash: every process dies at once, the disk stays; the address refuses connections."""
        if self._init and self._init.poll() is None:
            unshare = _only_child(self._init.pid)
            _kill(_only_child(unshare))
            self._init.wait(START_SECONDS)

    def cut(self) -> None:
        """Pull the cable: nothing arrives, nothing is refused, every process lives on."""
        self.lab.inside(f"ip link set {self._cable()} down")

    def heal(self) -> None:
        """Plug the cable in again."""
        self.lab.inside(f"ip link set {self._cable()} up")

    def block(self, other: str) -> None:
        """Let nothing go from here to this address, answers included."""
        self.lab.inside(f"ip -n {self.name} route add blackhole {other}/32")

    def unblock(self, other: str) -> None:
        """Undo `block`."""
        self.lab.inside(f"ip -n {self.name} route del blackhole {other}/32")

    def down(self) -> None:
        """Destroy the host, its disk and its cable."""
        self.kill()
        self.lab.inside(host_disks.UNPLUG, self.name, self._cable())
        self.lab.hosts.pop(self.name, None)

    def ended(self) -> None:
        """The lab has ended it: take note of its exit."""
        if self._init:
            self._init.wait(START_SECONDS)

    def _cable(self) -> str:
        return f"v{self.address.rpartition('.')[2]}"

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.running():
                break
            with suppress(OSError), socket.create_connection((self.address, 22), timeout=1) as found:
                if found.recv(4) == b"SSH-":
                    return
            time.sleep(0.01)
        log = (self.lab.folder / f"{self.name}.log").read_text()
        raise RuntimeError(f"{self.name} did not boot: {log[-2000:]}")


def _run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env or {"PATH": _PATH}
    ).stdout


def _only_child(pid: int) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        assert time.monotonic() < deadline, f"process {pid} never had a child"
        time.sleep(0.002)
    return int(found[0])


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 9)


def _born(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
