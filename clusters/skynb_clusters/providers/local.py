"""Infra `local`: machines that are real, separate process trees on this machine.

A machine is a folder (its disk, its `machine.json`) and an init process; everything that runs on it carries
the machine's mark in its environment. It can crash (its init dies), stop and keep its disk, and end without
leaving a process or a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, cast

import msgspec

from skynb.control.secrets import write_private
from skynb.errors import ProviderError
from skynb_clusters.contract import (
    Capabilities,
    Channel,
    Check,
    Listing,
    Machine,
    MachineState,
    NodeRequest,
    Provider,
)
from skynb_clusters.providers.processes import end_marked, marked, start_time

_MARK = "SKYNB_LOCAL_MACHINE"
_INIT = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"
_PATIENCE_S = 10.0
_SOCKET_PATH_LIMIT = 100
_PASSED_ON = ("LANG", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH", "CUDA_HOME")
_PASSED_ON_PREFIXES = ("LC_", "SSL_CERT_", "PIP_", "UV_", "CURL_CA_", "REQUESTS_CA_")


class _Card(msgspec.Struct, kw_only=True):
    """machine.json: what the infra knows of a machine. Written before its first process starts.

    ending_at: when it began to end for good, 0 while it does not.
    """

    id: str
    token: str
    tags: dict[str, str]
    address: str
    init_pid: int = 0
    init_born: str = ""
    ended_by: str = ""
    ending_at: float = 0.0


class LocalProvider(Provider):
    """Machines under `folder` (default: `local` in skynb's home)."""

    name = "local"
    capabilities = Capabilities(
        stop=True, spot=False, ports=False, guest_shutdown_stops_billing=True, consistency_s=0.0
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> Sequence[Check]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            mend = f"Make {self._folder} writable, or set SKYNB_HOME to a folder that is"
            return (Check(infra="local", ok=False, detail=str(error), mend=mend),)
        return (Check(infra="local", ok=True, detail=f"this machine, {os.cpu_count()} CPUs"),)

    @staticmethod
    def named(request: NodeRequest) -> Machine:
        """The machine that this request makes, before anything of it is known but its name."""
        name = f"local-{hashlib.sha256(request.token.encode()).hexdigest()[:12]}"
        return Machine(id=name, token=request.token, state="pending", tags=request.tags)

    def create(self, request: NodeRequest) -> Machine:
        machine_id = self.named(request).id
        place = self._folder / machine_id
        with self._lock():
            card = self._card(place)
            if card is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in ("disk/home", "disk/skynb", "disk/tmp"):
                    (place / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                address = _address(machine_id, self._addresses())
                card = _Card(id=machine_id, token=request.token, tags=dict(request.tags), address=address)
                self._write(place, card)
            elif not card.init_pid:
                end_marked(f"{_MARK}={card.id}", grace_s=0)  # what a creation that was cut short left behind
            if not card.init_pid:
                self._boot(place, card)
            return self._machine(place, card)

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        with self._lock():
            cards = [(place, card) for place in self._places() if (card := self._card(place))]
            ours = [(place, card) for place, card in cards if tags.items() <= card.tags.items()]
            return Listing(tuple(self._machine(place, card) for place, card in ours))

    def start(self, machine: Machine) -> None:
        place = self._folder / machine.id
        with self._lock():
            card = self._card(place)
            if card is None:
                raise ProviderError(f"there is no local machine {machine.id}", retryable="no")
            if self._machine(place, card).state != "running":
                card.ended_by = ""
                end_marked(f"{_MARK}={card.id}", grace_s=0)  # what a crash left behind
                self._boot(place, card)

    def stop(self, machine: Machine) -> None:
        self.stop_here(machine.id, "request")

    def terminate(self, machine: Machine) -> None:
        self.terminate_here(machine.id)

    def stop_here(self, machine_id: str, ended_by: str) -> None:
        """Stop, from the server or from the machine itself."""
        place = self._folder / machine_id
        with self._lock():
            if card := self._card(place):
                card.ended_by = ended_by
                self._write(place, card)
        end_marked(f"{_MARK}={machine_id}")

    def terminate_here(self, machine_id: str) -> None:
        """Terminate, from the server or from the machine itself."""
        place = self._folder / machine_id
        with self._lock():
            if card := self._card(place):  # whoever lists must not end the program that ends the machine
                card.ending_at = time.time()
                self._write(place, card)
        end_marked(f"{_MARK}={machine_id}")
        with self._lock():
            self._bury(place)
        self._clear()

    def _bury(self, place: Path) -> None:
        """Renaming makes the end atomic for whoever lists."""
        if place.exists():
            place.rename(place.with_name(f".ended-{place.name}"))

    def _clear(self) -> None:
        for leftover in self._folder.glob(".ended-*"):
            end_marked(f"{_MARK}={leftover.name.removeprefix('.ended-')}")
            shutil.rmtree(leftover, ignore_errors=True)

    def transport(self, machine: Machine) -> LocalTransport:
        place = self._folder / machine.id
        return LocalTransport(place, self._card(place) or machine)

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        return [sys.executable, "-m", "skynb_clusters.providers.local", mode, str(self._folder), machine.id]

    def _boot(self, place: Path, card: _Card) -> None:
        born = subprocess.run(  # the shell leaves at once, so its init is nobody's child here
            ["/bin/sh", "-c", f"( {_INIT} ) </dev/null >>init.log 2>&1 & echo $!"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=place,
            env=_environment(place, card),
            start_new_session=True,
            check=True,
        )
        card.init_pid = int(born.stdout)
        card.init_born = start_time(card.init_pid) or ""
        self._write(place, card)

    def _machine(self, place: Path, card: _Card) -> Machine:
        """Without its init a machine is off: it crashed, was stopped, or its creation was cut short."""
        alive = bool(card.init_pid) and start_time(card.init_pid) == card.init_born
        state: MachineState = "running" if alive else "stopped"
        if card.ending_at and not alive:
            state = self._ending(place, card)
        elif not alive and marked(f"{_MARK}={card.id}"):
            end_marked(f"{_MARK}={card.id}", grace_s=0)
        return Machine(
            id=card.id,
            token=card.token,
            state=state,
            tags=card.tags,
            address=card.address,
            ended_by=card.ended_by,
        )

    def _ending(self, place: Path, card: _Card) -> MachineState:
        """Somebody is ending it; if that one was itself ended, whoever looks finishes it."""
        if time.time() - card.ending_at > _PATIENCE_S:
            end_marked(f"{_MARK}={card.id}", grace_s=0)
        if marked(f"{_MARK}={card.id}"):
            return "terminating"
        self._bury(place)
        self._clear()
        return "terminated"

    def _places(self) -> Sequence[Path]:
        return sorted(self._folder.glob("local-*")) if self._folder.exists() else []

    def _addresses(self) -> set[str]:
        return {card.address for place in self._places() if (card := self._card(place))}

    def _card(self, place: Path) -> _Card | None:
        try:
            return msgspec.json.decode((place / "machine.json").read_bytes(), type=_Card)
        except FileNotFoundError:
            return None

    def _write(self, place: Path, card: _Card) -> None:
        write_private(place / "machine.json", msgspec.json.encode(card))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class LocalTransport:
    """Programs and sockets of one local machine."""

    def __init__(self, place: Path, machine: Machine | _Card) -> None:
        self.python: Sequence[str] = [sys.executable]
        self.root = str(place / "disk" / "skynb")
        self.home = str(place / "disk" / "home")
        self.env: Mapping[str, str] = _environment(place, machine)

    def exec(self, argv: Sequence[str]) -> LocalProcess:
        if not Path(self.home).exists():
            raise ProviderError(f"no machine at {self.home}", retryable="unknown")
        return LocalProcess(argv, self.home, self.env)

    def connect(self, target: str) -> Channel:
        kind, _, rest = target.partition(":")
        try:
            if kind == "tcp":
                host, _, port = rest.rpartition(":")
                return SocketChannel(socket.create_connection((host, int(port)), timeout=10))
            return SocketChannel(_connect_unix(Path(self.root) / rest))
        except OSError as error:
            raise ProviderError(f"no answer at {target}", why=str(error), retryable="unknown") from error


class LocalProcess:
    """A running program; its standard error goes to a temporary file."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - PIPE was asked for
        assert self._process.stdout is not None  # noqa: S101
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(str(error)) from None

    def stderr_tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4096))
        return self._stderr.read().decode(errors="replace")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.stdin.close()
        self.stdout.close()
        self._stderr.close()


class SocketChannel:
    """A connected socket as a channel."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(None)
        self._socket = connected
        self.stdin = cast("IO[bytes]", connected.makefile("wb", buffering=0))
        self.stdout = cast("IO[bytes]", connected.makefile("rb", buffering=0))

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _connect_unix(path: Path) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if len(str(path)) < _SOCKET_PATH_LIMIT:
            connected.connect(str(path))
        else:
            _connect_through_short_name(connected, path)
    except OSError:
        connected.close()
        raise
    return connected


def _connect_through_short_name(connected: socket.socket, path: Path) -> None:
    """Socket paths end at about 104 bytes; a link with a short name leads to any folder."""
    with tempfile.TemporaryDirectory(prefix="sky") as folder:
        link = Path(folder) / "r"
        link.symlink_to(path.parent)
        connected.connect(str(link / path.name))


def _environment(place: Path, machine: Machine | _Card) -> dict[str, str]:
    """What programs on the machine see: not the server's own variables, which may hold secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    here = str(Path(sys.executable).parent)
    name = f"{machine.tags.get('skynb-cluster', 'local')}-{machine.tags.get('skynb-rank', '0')}"
    return kept | {
        "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)]),
        "HOME": str(place / "disk" / "home"),
        "TMPDIR": str(place / "disk" / "tmp"),
        "HOSTNAME": name,
        _MARK: machine.id,
    }


def _address(machine_id: str, taken: set[str]) -> str:
    """On Linux every address of 127/8 is this machine, so each node has its own ports; elsewhere one does."""
    if sys.platform != "linux":
        return "127.0.0.1"
    number = int(hashlib.sha256(machine_id.encode()).hexdigest(), 16)
    while True:
        address = f"127.{64 + number % 64}.{number // 64 % 256}.{number // 16384 % 254 + 1}"
        if address not in taken:
            return address
        number += 1


def main() -> None:
    """`python -m skynb_clusters.providers.local stop|down FOLDER ID`: the end command of a node."""
    mode, folder, machine_id = sys.argv[1:4]
    provider = LocalProvider(Path(folder))
    if mode == "down":
        provider.terminate_here(machine_id)
    else:
        provider.stop_here(machine_id, ended_by="node")


if __name__ == "__main__":
    main()
