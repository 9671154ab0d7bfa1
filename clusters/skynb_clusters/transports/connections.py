"""One connection a node, shared by everyone in this process who talks to it."""

from __future__ import annotations

import atexit
import copy
import logging
import random
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from skynb.errors import AuthError, ProviderError, SkynbError
from skynb_clusters.transports.known_hosts import KnownHosts, NodeAuthError
from skynb_clusters.transports.routes import Hop, Route

if TYPE_CHECKING:
    import paramiko

    from skynb_clusters.transports.wire import Wire

CONNECT_SECONDS = 5.0
LOGIN_SECONDS = 10.0
OPEN_SECONDS = 10.0
FULL_SECONDS = 0.5  # a line that admits no more sessions is not asked for so long
KEEPALIVE_SECONDS = 10
SILENT_SECONDS = 30  # unacknowledged for so long, a line is broken
IDLE_SECONDS = 600.0
_FIRST_WAIT = 0.2
# A refused connection costs nothing and often ends soon, when sshd comes up; the others are dear.
_REFUSED_WAIT, _SILENT_WAIT, _LOGIN_WAIT = 2.0, 20.0, 60.0


class _Refused(Exception):  # noqa: N818 - it is no error of the node's
    """The node opens no further session on this line."""


class Line:
    """One login over one socket. sessions: programs on it now; sshd admits a few (10 by default)."""

    def __init__(self, transport: Wire) -> None:
        self.transport = transport
        self.sessions = 0
        self.full_until = 0.0
        self.used_at = time.monotonic()

    def open(self, kind: str, to: tuple[str, int] | None = None) -> paramiko.Channel:
        """A channel of a kind; _Refused if the node wants no more, ProviderError if the line is broken."""
        from paramiko import ChannelException, SSHException

        self.used_at = time.monotonic()
        source = ("127.0.0.1", 0) if to else None
        try:
            return self.transport.open_channel(kind, to, source, timeout=OPEN_SECONDS)
        except ChannelException as error:
            raise _Refused(str(error)) from None
        except (SSHException, EOFError, OSError) as error:
            # Of two refusals at once paramiko hands the reason to one and a nameless error to the other.
            if self.transport.is_active() and "Timeout" not in str(error):
                raise _Refused(str(error)) from None
            self.transport.close()
            raise ProviderError("the connection broke", why=str(error), retryable="unknown") from error


class Connection:
    """The way to one node. Connects when first needed, and again when it broke; thread-safe.

    A failure is remembered for a growing while, in which nobody tries again and everybody is told.
    """

    def __init__(self, route: Route, book: KnownHosts) -> None:
        self._route = route
        self._book = book
        self._lines: list[Line] = []
        self._lock = threading.Lock()
        self._dialling = threading.Lock()
        self._failure: SkynbError | None = None
        self._failures = 0
        self._until = 0.0

    @property
    def where(self) -> str:
        """The node in words, for errors."""
        hop = self._route[-1]
        return f"{hop.user}@{hop.host}" + ("" if hop.port == 22 else f":{hop.port}")

    def session(self) -> tuple[Line, paramiko.Channel]:
        """A channel for a program, on the line whose `release` must be called; ProviderError or AuthError."""
        deadline = time.monotonic() + OPEN_SECONDS
        while time.monotonic() < deadline:
            line = self._line_with_room()
            try:
                return line, line.open("session")
            except _Refused:
                line.full_until = time.monotonic() + FULL_SECONDS
                self.release(line)
            except ProviderError:
                self.release(line)
                if self._alone(line):
                    continue
                raise
        raise ProviderError(f"{self.where} opens no session", retryable="unknown")

    def tcp(self, host: str, port: int) -> paramiko.Channel:
        """A channel to a port that the node can reach; ProviderError or AuthError."""
        line = self._first()
        try:
            return line.open("direct-tcpip", (host, port))
        except _Refused as error:
            raise ProviderError(
                f"no answer at {host}:{port} from {self.where}", why=str(error), retryable="unknown"
            ) from None

    def ready(self) -> None:
        """Connect, unless there is a connection; ProviderError or AuthError."""
        self._first()

    def release(self, line: Line) -> None:
        """A program has ended; a line that was made for want of room goes with its last one."""
        with self._lock:
            line.sessions -= 1
            line.used_at = time.monotonic()
            extra = line.sessions <= 0 and self._lines and line is not self._lines[0]
            if extra and line in self._lines:
                self._lines.remove(line)
        if extra:
            line.transport.close()

    def idle(self) -> bool:
        """Nobody has used it for a good while, and nobody waits on it."""
        with self._lock:
            before = time.monotonic() - IDLE_SECONDS
            return all(not line.sessions and line.used_at < before for line in self._lines)

    def close(self) -> None:
        """Hang up. The next use connects anew."""
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.transport.close()

    def _alone(self, line: Line) -> bool:
        """A line that broke while it was idle tells nothing of the node: worth another try."""
        return line.sessions == 0 and not line.transport.is_active()

    def _living(self) -> list[Line]:
        self._lines = [line for line in self._lines if line.transport.is_active()]
        return self._lines

    def _line_with_room(self) -> Line:
        while True:
            with self._lock:
                for line in self._living():
                    if line.full_until < time.monotonic():
                        line.sessions += 1
                        return line
                known = len(self._lines)
            if made := self._dial(known, sessions=1):
                return made

    def _first(self) -> Line:
        while True:
            with self._lock:
                if lines := self._living():
                    return lines[0]
            self._dial(0)

    def _dial(self, known: int, sessions: int = 0) -> Line | None:
        """One more line than were known, with so many sessions, so that it is released some time.

        Whoever comes meanwhile waits and shares it, or its failure; to those it is None.
        """
        with self._dialling:
            with self._lock:
                if len(self._living()) > known:
                    return None
            if self._failure is not None and time.monotonic() < self._until:
                raise copy.copy(self._failure)
            try:
                line = Line(_connected(self._route, self._book))
            except SkynbError as error:
                self._remember(error)
                raise
            self._failure, self._failures = None, 0
            line.sessions = sessions
            with self._lock:
                self._lines.append(line)
            return line

    def _remember(self, error: SkynbError) -> None:
        longest = _SILENT_WAIT
        if isinstance(error, AuthError):
            longest = _LOGIN_WAIT
        elif isinstance(error.__cause__, ConnectionRefusedError):
            longest = _REFUSED_WAIT
        wait = min(longest, _FIRST_WAIT * 2.0 ** min(self._failures, 16))
        self._failure, self._failures = error, self._failures + 1
        self._until = time.monotonic() + wait * random.uniform(0.75, 1.25)  # noqa: S311 - spreads calls


_connections: dict[tuple[Route, Path], Connection] = {}
_registry = threading.Lock()


def connection(route: Route, book: KnownHosts) -> Connection:
    """The one connection of this process to that place as that user. Does not connect."""
    key = (route, book.path)
    with _registry:
        found = _connections.get(key)
        if found is None:
            for other in [other for other, made in _connections.items() if made.idle()]:
                _connections.pop(other).close()
            found = _connections[key] = Connection(route, book)
        return found


@atexit.register
def hang_up() -> None:
    """Close every connection of this process; later use connects anew."""
    with _registry:
        made = list(_connections.values())
        _connections.clear()
    for one in made:
        one.close()


def _connected(route: Route, book: KnownHosts) -> Wire:
    hop = route[-1]
    plug = _socket(route, book)
    try:
        transport = _greeted(plug, hop, book)
    except BaseException:
        plug.close()
        raise
    try:
        _log_in(transport, hop)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return transport


def _socket(route: Route, book: KnownHosts) -> socket.socket:
    """Bytes to the last hop's sshd: straight, through a command, or through the hop before."""
    hop = route[-1]
    if len(route) > 1:
        return cast("socket.socket", connection(route[:-1], book).tcp(hop.host, hop.port))
    if hop.command:
        return _through_command(hop.command)
    try:
        plug = socket.create_connection((hop.host, hop.port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise ProviderError(
            f"{hop.host} does not answer on port {hop.port}", why=str(error), retryable="unknown"
        ) from error
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        plug.setsockopt(socket.IPPROTO_TCP, option, SILENT_SECONDS * 1000)
    return plug


def _through_command(command: str) -> socket.socket:
    """A socket whose other end is a program's standard input and output, as of ssh's ProxyCommand."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            start_new_session=True,
        )
    threading.Thread(target=program.wait, name="skynb-ssh-command", daemon=True).start()  # it ends with us
    return ours


def _greeted(plug: socket.socket, hop: Hop, book: KnownHosts) -> Wire:
    """An encrypted line whose host key the book admits."""
    import paramiko

    from skynb_clusters.transports.wire import Wire

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what it has to say, it raises
    transport = Wire(plug)
    transport.banner_timeout = transport.auth_timeout = LOGIN_SECONDS
    options = transport.get_security_options()
    known = [
        name for kind in book.kinds(hop.alias) for name in _signatures(kind) if name in options.key_types
    ]
    options.key_types = tuple(dict.fromkeys([*known, *options.key_types]))
    try:
        transport.start_client(timeout=LOGIN_SECONDS)
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise ProviderError(
            f"{hop.host} does not speak SSH on port {hop.port}", why=str(error), retryable="unknown"
        ) from error
    key = transport.get_remote_server_key()
    try:
        book.verify(hop.alias, key.get_name(), key.get_base64())
    except AuthError:
        transport.close()
        raise
    return transport


def _signatures(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256", kind) if kind == "ssh-rsa" else (kind,)


def _log_in(transport: paramiko.Transport, hop: Hop) -> None:
    """By key file, agent, password, in this order; NodeAuthError says what was tried."""
    import paramiko

    tried: list[str] = []
    agent = paramiko.Agent() if hop.agent else None
    try:
        for name, key in _offered(hop, agent, tried):
            with suppress(paramiko.AuthenticationException):
                transport.auth_publickey(hop.user, key)
                if transport.is_authenticated():
                    return
            tried.append(name)
        if hop.password:
            tried.append("the password")
            with suppress(paramiko.AuthenticationException):
                transport.auth_password(hop.user, hop.password)
                if transport.is_authenticated():
                    return
    except (paramiko.SSHException, EOFError, OSError) as error:
        if transport.is_active():
            raise ProviderError(f"no login to {hop.host}", why=str(error), retryable="unknown") from error
    finally:
        if agent is not None:
            agent.close()
    raise NodeAuthError(
        f"{hop.host} refuses {hop.user}",
        why=f"Tried {', '.join(tried)}" if tried else "There is no key to try",
        mend=f"Put a public key of yours into ~/.ssh/authorized_keys of {hop.user} there, or name its file",
    )


def _offered(hop: Hop, agent: paramiko.Agent | None, tried: list[str]) -> list[tuple[str, paramiko.PKey]]:
    """Keys to try, each with its name. Unusable files go to `tried` with the reason."""
    import paramiko
    from paramiko.pkey import UnknownKeyType

    found: list[tuple[str, paramiko.PKey]] = []
    for path in hop.keys:
        try:
            found.append((path, paramiko.PKey.from_path(path)))
        except paramiko.PasswordRequiredException:
            tried.append(f"{path} (needs a passphrase: add it to ssh-agent)")
        except (OSError, ValueError, paramiko.SSHException, UnknownKeyType):
            tried.append(f"{path} (not readable)")
    keys = agent.get_keys() if agent is not None else ()
    return [*found, *(("a key of ssh-agent", key) for key in keys)]
