"""The system's own ssh, where it leads to a node as our connection does: it moves bytes twice as fast.

Only for streams of files. Everything else shares one connection a node, which is there already.
"""

from __future__ import annotations

import fcntl
import select
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, cast

from skynb_clusters.contract import Process, Transport
from skynb_clusters.transports.ssh import SshTransport

READY_S = 15.0
_TAIL_BYTES = 4096
_PIPE_BYTES = 1 << 20
# Those that processors have instructions for come first; the last are for old servers.
_CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr"
_READY = 'echo; exec "$@"'  # the first byte says that the way is open


def bulk(transport: Transport, argv: Sequence[str]) -> Process:
    """As `transport.exec`, by the fastest way there is to that node."""
    if isinstance(transport, SshTransport) and (way := _way(transport)) is not None:
        process = _OpenSsh(
            [*way, shlex.join(["exec", "/bin/sh", "-c", _READY, "sh", *transport.words(argv)])]
        )
        if process.is_ready(READY_S):
            return process
        process.close()  # a passphrase, an old ssh, a machine that is not there: our own way says it better
    return transport.exec(argv)


def _way(transport: SshTransport) -> list[str] | None:
    """The command line that leads there with the same key and the same trust; None where there is none."""
    entry = transport.entry
    program = shutil.which("ssh")
    if program is None or not entry.key_file or entry.jump or transport.needs_password:
        return None
    book, alias = transport.trust
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{book}"',
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": alias,
        "IdentitiesOnly": "yes",
        "IdentityFile": f'"{entry.key_file}"',
        "ControlPath": "none",
        "ServerAliveInterval": "15",
        "LogLevel": "ERROR",
        "Ciphers": _CIPHERS,
    }
    flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return [program, "-F", "none", "-T", *flags, "-p", str(entry.port), "-l", entry.user, "--", entry.host]


class _OpenSsh:
    """A program on a node, behind an ssh of the system."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, argv: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
        )
        self.stdin = cast("IO[bytes]", self._child.stdin)
        self.stdout = cast("IO[bytes]", self._child.stdout)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # more than this person may have
                fcntl.fcntl(self.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def is_ready(self, timeout: float) -> bool:
        """Whether the program has begun on the node."""
        readable, _, _ = select.select([self.stdout], [], [], timeout)
        return bool(readable) and self.stdout.read(1) == b"\n"

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the program has not ended after {timeout:g} s") from None

    def stderr_tail(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-_TAIL_BYTES:].decode(errors="replace")

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        for stream in (self.stdin, self.stdout, self._errors):
            with suppress(OSError):
                stream.close()
