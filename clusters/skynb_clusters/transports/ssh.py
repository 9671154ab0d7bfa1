"""Nodes over SSH: programs and sockets as channels of one connection a node."""

from __future__ import annotations

import io
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from skynb.errors import ProviderError, SkynbError
from skynb_clusters.contract import Channel, SshEntry
from skynb_clusters.transports.connections import Connection, Line, connection, hang_up
from skynb_clusters.transports.known_hosts import KnownHosts
from skynb_clusters.transports.routes import route

if TYPE_CHECKING:
    import paramiko

    from skynb_clusters.transports.wire import Wire

__all__ = ["KnownHosts", "SshTransport", "hang_up"]

GREETING_SECONDS = 10.0
_TAIL_BYTES = 4096
_CHUNK = 1 << 18
_BY_SIGNAL = 255

# Says its process ID, which leads the process group that sshd made for it, and becomes the program.
_SAY_PID = 'echo $$; exec "$@"'

# Runs on the node: connects to a socket by a short name, says so, and copies both ways until the socket ends.
_BRIDGE = """
import os, socket, sys, threading
folder, name = os.path.split(sys.argv[1])
os.chdir(folder or ".")
line = socket.socket(socket.AF_UNIX)
try:
    line.connect(name)
except OSError as error:
    sys.exit("no answer at %s: %s" % (sys.argv[1], error))
os.write(1, b"\\n")
def up():
    try:
        while True:
            data = os.read(0, 262144)
            if not data:
                break
            line.sendall(data)
        line.shutdown(socket.SHUT_WR)
    except OSError:
        line.close()
threading.Thread(target=up, daemon=True).start()
while True:
    data = line.recv(262144)
    if not data:
        os._exit(0)
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]
"""


class SshTransport:
    """One node by SSH; fulfils the Transport contract. Cheap to make: it connects with its first use.

    alias: the machine's own name in the book of host keys. root, home: as in the contract, or relative to the
    login's home. env travels on command lines, which others on the node can read: no secrets.
    """

    def __init__(
        self,
        entry: SshEntry,
        *,
        alias: str,
        book: KnownHosts,
        root: str,
        home: str,
        env: Mapping[str, str] = {},
        python: Sequence[str] = ("python3",),
        password: str = "",
    ) -> None:
        self.entry = entry
        self.python = python
        self.root = root.removeprefix("~/")
        self.home = home.removeprefix("~/")
        self.env = env
        self._alias = alias
        self._book = book
        self._password = password

    def exec(self, argv: Sequence[str]) -> SshProcess:
        """Start a program in the login's home; AuthError if the login is refused, else as in the contract."""
        words = self.words(argv)
        way = self._connection()
        line, channel = way.session()
        process = SshProcess(way, line, channel)
        try:
            process.start(shlex.join(["exec", "/bin/sh", "-c", _SAY_PID, "sh", *words]))
        except BaseException:
            process.close()
            raise
        return process

    def words(self, argv: Sequence[str]) -> list[str]:
        """The words that run a program there with the node's variables."""
        return (
            ["env", *(f"{name}={value}" for name, value in self.env.items()), *argv] if self.env else [*argv]
        )

    @property
    def trust(self) -> tuple[str, str]:
        """The book of host keys, and the machine's name in it."""
        return str(self._book.path), self._alias

    @property
    def needs_password(self) -> bool:
        return bool(self._password)

    def connect(self, target: str) -> Channel:
        """As in the contract."""
        kind, _, rest = target.partition(":")
        if kind == "tcp":
            host, _, port = rest.rpartition(":")
            return SshChannel(self._connection().tcp(host.strip("[]"), int(port)))
        process = self.exec([*self.python, "-E", "-s", "-S", "-c", _BRIDGE, f"{self.root}/{rest}"])
        if process.first_byte(GREETING_SECONDS) == b"\n":
            return process
        with suppress(TimeoutError, ProviderError):
            process.wait(1)
        why = process.stderr_tail().strip() or None
        process.close()
        raise ProviderError(f"no answer at {target}", why=why, retryable="unknown")

    def ready(self) -> None:
        """Connect, unless there is a connection; ProviderError or AuthError."""
        self._connection().ready()

    def _connection(self) -> Connection:
        return connection(route(self.entry, self._alias, self._password), self._book)


class SshChannel:
    """A channel to a socket."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self.stdin = cast("IO[bytes]", _Writer(channel))
        self.stdout = cast("IO[bytes]", _Reader(channel))

    def close(self) -> None:
        self._channel.close()


class SshProcess:
    """A running program. Closing ends its process group, if it has not ended by itself."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, way: Connection, line: Line, channel: paramiko.Channel) -> None:
        self._way = way
        self._line = line
        self._channel = channel
        self._tail = b""
        self._lock = threading.Lock()
        self._closed = False
        self._reader = _Reader(channel, on_read=self._drain, headed=True)
        self.stdin = cast("IO[bytes]", _Writer(channel, on_write=self._drain))
        self.stdout = cast("IO[bytes]", self._reader)

    def start(self, command: str) -> None:
        """Hand the command to the login's shell."""
        from paramiko import SSHException

        try:
            with _saying(self._channel):
                self._channel.exec_command(command)
        except (SSHException, EOFError, OSError) as error:
            raise ProviderError(
                f"{self._way.where} started no program", why=str(error) or None, retryable="unknown"
            ) from error

    def first_byte(self, timeout: float) -> bytes:
        """The first byte of output, or none if the program ended or took too long."""
        self._channel.settimeout(timeout)
        try:
            return self._reader.read(1) or b""
        except TimeoutError:
            return b""
        finally:
            self._channel.settimeout(None)

    def wait(self, timeout: float | None = None) -> int:
        """As in the contract; 255 for a program that a signal ended, ProviderError if the line broke."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._channel.status_event.wait(0.5 if deadline is None else min(0.5, _left(deadline))):
            self._drain()
            if deadline is not None and not _left(deadline):
                raise TimeoutError(f"the program has not ended after {timeout:g} s")
        if self._channel.exit_status >= 0:
            return self._channel.exit_status
        if self._closed or self._line.transport.is_active():
            return _BY_SIGNAL
        raise ProviderError(f"the connection to {self._way.where} broke", retryable="unknown")

    def stderr_tail(self) -> str:
        self._drain()
        return self._tail.decode(errors="replace")

    def close(self) -> None:
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        if self._channel.exit_status_ready() or not self._line.transport.is_active():
            self._channel.close()
            self._way.release(self._line)
        else:  # another session ends it; nobody need wait for that
            threading.Thread(target=self._end, name="skynb-ssh-end", daemon=True).start()

    def _end(self) -> None:
        from paramiko import SSHException

        pid = self._reader.pid(GREETING_SECONDS)
        with suppress(SkynbError, SSHException, EOFError, OSError):  # the line broke, and nobody can be told
            self._channel.close()
            if pid:
                line, killer = self._way.session()
                try:
                    with _saying(killer):
                        killer.exec_command(f"kill -9 -{pid}")
                    killer.status_event.wait(GREETING_SECONDS)
                    killer.close()
                finally:
                    self._way.release(line)
        self._way.release(self._line)

    def _drain(self) -> None:
        """Standard error must be taken, or the program stops at a full window."""
        with self._lock, _saying(self._channel):
            while self._channel.recv_stderr_ready():
                self._tail = (self._tail + self._channel.recv_stderr(_CHUNK))[-_TAIL_BYTES:]


class _Reader(io.RawIOBase):
    """Bytes from a channel. headed: the first line is the program's process ID, not its output."""

    def __init__(self, channel: paramiko.Channel, on_read: Any = None, headed: bool = False) -> None:
        super().__init__()
        self._channel = channel
        self._on_read = on_read
        self._headed = headed
        self._head = b""
        self._heading = threading.Lock()

    def readable(self) -> bool:
        return True

    def pid(self, timeout: float) -> int:
        """The program's process ID; 0 if it did not say."""
        with suppress(OSError, ValueError):
            self._channel.settimeout(timeout)
            self._take_head()
            return int(self._head)
        return 0

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        if size == 0:
            return b""
        self._take_head()
        if self._on_read:
            self._on_read()
        with _saying(self._channel):
            return self._channel.recv(size)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _take_head(self) -> None:
        if not self._headed:
            return
        with self._heading:
            while self._headed and not self._head.endswith(b"\n"):
                with _saying(self._channel):
                    byte = self._channel.recv(1)
                self._head += byte
                if not byte:
                    break
            self._headed = False


class _Writer(io.RawIOBase):
    """Bytes to a channel; closing says that no more will come."""

    def __init__(self, channel: paramiko.Channel, on_write: Any = None) -> None:
        super().__init__()
        self._channel = channel
        self._on_write = on_write

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._on_write:
            self._on_write()
        view = memoryview(data).cast("B")
        sent = 0
        with _saying(self._channel):
            while sent < len(view):  # as a pipe would, that takes all of it
                sent += self._channel.send(view[sent : sent + _CHUNK])  # type: ignore[arg-type]
        return sent

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError, EOFError), _saying(self._channel):
                self._channel.shutdown_write()
        super().close()


def _saying(channel: paramiko.Channel) -> AbstractContextManager[None]:
    """What is said of a channel meanwhile is dropped once it has closed: see Wire."""
    return cast("Wire", channel.get_transport()).on(channel)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
