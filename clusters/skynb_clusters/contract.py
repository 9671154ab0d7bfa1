"""What a provider and a transport promise. Nothing here knows a cloud.

The control core calls a Provider from a worker thread, never from the event loop; every method may block.
Nobody else calls it: surfaces never touch a cloud, and a provider never writes the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Literal, Protocol

import msgspec

MachineState = Literal["pending", "running", "stopping", "stopped", "terminating", "terminated"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this infra can do; the core asks here and never by name of cloud.

    consistency_s: seconds until a create or a terminate certainly shows in `list`.
    """

    stop: bool
    spot: bool
    ports: bool
    guest_shutdown_stops_billing: bool
    consistency_s: float


class NodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One machine to create.

    token: same token, same machine, also after a crash of the caller. tags: go into the create call itself.
    instance_type, region, zone: as in the chosen offer. lease_s: seconds the machine may live unseen, for
    clouds with a limit of their own.
    """

    token: str
    name: str
    tags: Mapping[str, str]
    instance_type: str
    region: str | None = None
    zone: str | None = None
    spot: bool = False
    disk_gib: int = 256
    lease_s: float | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as the infra reports it. `address` is where other nodes of the cluster reach it."""

    id: str
    token: str
    state: MachineState
    tags: Mapping[str, str]
    address: str = ""
    ended_by: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """May this infra be used, and if not, what is missing and how to mend it."""

    infra: str
    ok: bool
    detail: str
    mend: str = ""


class Channel(Protocol):
    """Bytes to and from a node; `stdin` and `stdout` are binary and unbuffered."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def close(self) -> None:
        """End the channel, and the program behind it. Safe to call twice, from any thread."""


class Process(Channel, Protocol):
    """A program started on a node."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises TimeoutError after `timeout` seconds."""

    def stderr_tail(self) -> str:
        """The last 4 KiB written to standard error so far."""


class Transport(Protocol):
    """`exec` is all that a node must offer; files, ports and sockets ride on it."""

    python: Sequence[str]
    """The argv prefix of a Python >= 3.8 on the node."""

    root: str
    """The folder on the node, private to skynb, where the agent lives."""

    home: str
    """The folder on the node where jobs start."""

    env: Mapping[str, str]
    """Variables that every program on this node must see."""

    def exec(self, argv: Sequence[str]) -> Process:
        """Start a program on the node; an unreachable node raises ProviderError(retryable="unknown")."""

    def connect(self, target: str) -> Channel:
        """A socket on the node, `unix:PATH` (relative to `root`) or `tcp:HOST:PORT`; raises ProviderError."""


class Provider(Protocol):
    """One kind of infra. Its errors are AuthError, ProviderError and what descends from that."""

    name: str
    capabilities: Capabilities

    def check(self) -> Check:
        """Look for credentials and reachability; never raises."""

    def create(self, request: NodeRequest) -> Machine:
        """Create, or return the one created before with this token. Tags are part of the create call."""

    def list(self, tags: Mapping[str, str]) -> Sequence[Machine]:
        """Every machine, in any state still known, that carries all these tags. An error means unknown."""

    def start(self, machine_id: str) -> None:
        """Start a stopped machine with its disk. Starting a running one does nothing."""

    def stop(self, machine_id: str) -> None:
        """Stop and keep the disk. Stopping a stopped one does nothing."""

    def terminate(self, machine_id: str) -> None:
        """End the machine and its disk. Terminating an absent one does nothing."""

    def transport(self, machine: Machine) -> Transport:
        """The way in. Cheap; does not connect."""

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        """The argv by which the node ends itself when its lease runs out and no server answers."""
