"""Which host key each machine showed at first: the book that a changed key is refused by."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skynb.errors import AuthError


class NodeAuthError(AuthError):
    """One node is not to be trusted, or does not trust us; that says nothing of the infra around it."""

    disproves = None


class KnownHosts:
    """A file in OpenSSH's format (0600), which `ssh -o UserKnownHostsFile=PATH -o HostKeyAlias=ALIAS` reads.

    Machines stand in it by an alias that is theirs alone: addresses are used again by other machines. Safe
    between threads and processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def kinds(self, alias: str) -> list[str]:
        """The kinds of key known of a machine; a connection asks for these first."""
        return [kind for kind, _ in self._keys(alias)]

    def verify(self, alias: str, kind: str, key: str) -> None:
        """Record a machine's first key (base64), and hold it to that; NodeAuthError if this is another."""
        with self._held():
            known = self._keys(alias)
            if (kind, key) in known:
                return
            if known:
                raise NodeAuthError(
                    f"{alias} showed another host key than before",
                    why="It was installed anew, or something answers in its place",
                    mend=f"If you know why, remove the line of {alias} from {self.path}",
                )
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
                file.write(f"{alias} {kind} {key}\n")
                file.flush()
                os.fsync(file.fileno())

    def forget(self, alias: str) -> None:
        """Drop a machine that is no more. Forgetting one that is not known does nothing."""
        with self._held():
            if self._keys(alias):
                kept = [line for line in self._lines() if line.split()[:1] != [alias]]
                draft = self.path.with_name(f"{self.path.name}.new")
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                    file.writelines(f"{line}\n" for line in kept)
                draft.replace(self.path)

    def _keys(self, alias: str) -> list[tuple[str, str]]:
        words = (line.split() for line in self._lines())
        return [(word[1], word[2]) for word in words if len(word) >= 3 and word[0] == alias]

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text().splitlines()
        except FileNotFoundError:
            return []

    @contextmanager
    def _held(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
