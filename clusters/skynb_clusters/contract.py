"""What a provider and a transport promise. Nothing here knows a cloud.

The control core calls a Provider from a worker thread, never from the event loop; every method may block.
Nobody else calls it: surfaces never touch a cloud, and a provider never writes the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Literal, Protocol

import msgspec

from skynb.errors import ProviderError
from skynb_catalog import Offer

MachineState = Literal["pending", "running", "stopping", "stopped", "terminating", "terminated"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this infra can do; the core asks here and never by name of cloud.

    consistency_s: seconds until a create or a terminate certainly shows in `list`.
    guest_shutdown_stops_billing: a machine that shuts itself down costs nothing more (but its disk).
    ports: the infra opens ports; where it does not, they are the affair of whoever owns its network.
    whole: a machine with all its file system is the cluster's alone, so that files may go anywhere on it.
    images, disk_tiers: a machine can start from the image, and with the kind of disk, that a task names.
    own_limit: the infra itself ends a machine at `NodeRequest.limit_s`. notice_s: seconds of warning before a
    spot machine is taken, 0 for none. list_every_s: how often one account may be listed unthrottled.
    """

    stop: bool
    spot: bool
    ports: bool
    guest_shutdown_stops_billing: bool
    consistency_s: float
    whole: bool = False
    images: bool = False
    disk_tiers: bool = False
    own_limit: bool = False
    notice_s: float = 0.0
    list_every_s: float = 0.0


class NodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One machine to create.

    token: same token, same machine, also after a crash of the caller. tags: skynb's own, part of the create
    call itself. labels: the user's tags, dropped where the infra has none. instance_type, region, zone, spot:
    as in the chosen offer. limit_s: seconds after which the machine may not live, for infra with a limit of
    its own. on_shutdown: what becomes of it when it shuts itself down. ports: as in the task, `8080` or
    `8000-8010`. hourly_micro: the price that it was chosen for, in micro-dollars an hour.
    """

    token: str
    name: str
    tags: Mapping[str, str]
    instance_type: str
    region: str | None = None
    zone: str | None = None
    spot: bool = False
    image: str | None = None
    arch: str | None = None
    disk_gib: int = 256
    disk_tier: str | None = None
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    on_shutdown: Literal["stop", "terminate"] = "terminate"
    limit_s: float | None = None
    hourly_micro: int = 0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as the infra reports it.

    address: where other nodes of the cluster reach it. reach: where this server does, if elsewhere. place:
    the region or host it is in, as `Listing.blind` names it. ended_by: `node`, `request`, `preemption` or
    empty. billed_from, billed_to: when the infra began, and ended, to charge for it this time (seconds since
    the epoch), None where it does not say; spending is settled to these.
    """

    id: str
    token: str
    state: MachineState
    tags: Mapping[str, str]
    address: str = ""
    reach: str = ""
    place: str = ""
    zone: str = ""
    instance_type: str = ""
    spot: bool = False
    created_at: float | None = None
    ended_by: str = ""
    billed_from: float | None = None
    billed_to: float | None = None


class Listing(msgspec.Struct, frozen=True):
    """What a look showed. blind: places that could not be seen; what was there is unknown, not gone."""

    machines: tuple[Machine, ...] = ()
    blind: tuple[str, ...] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """May this infra be used, and if not, what is missing and how to mend it."""

    infra: str
    ok: bool
    detail: str
    mend: str = ""


class SshEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How `ssh` reaches a machine from the server's host; key_file, jump, known_hosts may be empty.

    host_key_alias: the name under which its key stands in known_hosts, if not `host`.
    """

    host: str
    user: str
    port: int = 22
    key_file: str = ""
    jump: str = ""
    known_hosts: str = ""
    host_key_alias: str = ""


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
    """One kind of infra; inherit from this for what is optional. Made with a folder of its own for its files.

    Its errors are AuthError, ProviderError and what descends from that, each saying what it `disproves`.
    """

    name: str
    capabilities: Capabilities

    def check(self) -> Sequence[Check]:
        """Look for credentials and reachability, a line each account, pool or region; never raises."""

    def offers(self) -> Sequence[Offer]:
        """What can be had here now, for infra that no catalog lists. May be slow: asked ahead of time."""
        return ()

    def expect(self, region: str) -> None:
        """A task names this region: `offers` should tell of it from now on, if it did not. Does not block."""
        return

    def create(self, request: NodeRequest) -> Machine:
        """Create, or return the one created before with this token. Tags are part of the create call.

        CapacityError and QuotaError say that nothing was made.
        """

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        """Every machine, in any state still known, that carries all these tags, in one region or everywhere.

        Raises where nothing could be seen at all; what could be seen in part says what it is blind to.
        """

    def strangers(self) -> Listing:
        """The account's machines without skynb's tags, where there is such a thing as an account."""
        return Listing()

    def start(self, machine: Machine) -> None:
        """Start a stopped machine with its disk. Starting a running one does nothing."""

    def stop(self, machine: Machine) -> None:
        """Stop and keep the disk. Stopping a stopped one does nothing."""

    def terminate(self, machine: Machine) -> None:
        """End the machine, its disk and all that was billed with it. Ending an absent one does nothing."""

    def transport(self, machine: Machine) -> Transport:
        """The way in. Cheap; does not connect."""

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        """The argv by which the node ends itself when its lease runs out and no server answers."""

    def notice_command(self, machine: Machine) -> Sequence[str]:
        """An argv that runs on the node while it lives and prints a JSON object a line for each notice.

        `{"kind": "preemption" or "rebalance", "at": seconds since the epoch}`; empty where there are none.
        It ends when its standard input does.
        """
        return ()

    def set_on_shutdown(self, machine: Machine, mode: Literal["stop", "terminate"]) -> None:
        """What becomes of the machine when it shuts itself down, as `NodeRequest.on_shutdown` said at first.

        Nothing to do where `end_command` alone decides that.
        """
        return

    def open_ports(self, machine: Machine, ports: Sequence[str]) -> None:
        """Let the world reach these ports of a machine. Opening an open one does nothing."""
        raise ProviderError(f"{self.name} cannot open ports", retryable="no")

    def ssh(self, machine: Machine) -> SshEntry | None:
        """How `ssh` gets there; None where it cannot."""
        return None
