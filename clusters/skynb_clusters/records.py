"""What the ledger keeps of clusters, nodes, jobs, kernels and Dask clusters: specs, states, effects, words.

Only data. Fields are only ever added, each with a default, so that older rows and older servers still read.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from skynb.control.records import Effect, Record
from skynb.planning.blocks import Block
from skynb.wire import WaitFor
from skynb_clusters.contract import Machine
from skynb_clusters.naming import node_id, slot_name


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The offer a node is created from. `hourly_micro` is micro-dollars per hour of one node.

    alternative: which of the task's alternatives it is for.
    """

    cloud: str
    instance_type: str
    region: str | None = None
    zone: str | None = None
    spot: bool = False
    vcpus: float | None = None
    memory_gib: float | None = None
    accelerator: str | None = None
    accelerator_count: float = 0
    hourly_micro: int = 0
    as_of: str | None = None
    source: str = ""
    alternative: int = 0

    @property
    def rehearsed(self) -> bool:
        """Nobody pays for it."""
        return self.cloud == "sim"


USUAL_DISK_GIB = 256


class MachineWish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one alternative of a task asks of a machine beyond its kind and place.

    image: for every region; images: by region, before that one. disk_gib: GiB.
    """

    labels: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    image: str | None = None
    images: dict[str, str] = {}
    disk_gib: int = USUAL_DISK_GIB
    disk_tier: str | None = None

    def image_in(self, region: str | None) -> str | None:
        """The image to start from there; None for the usual one."""
        return self.images.get(region or "", self.image)


class Autostop(msgspec.Struct, frozen=True, kw_only=True):
    """End the cluster after `idle_minutes` without work; negative is never."""

    idle_minutes: float
    down: bool = False
    wait_for: WaitFor = "jobs_and_ssh"


class ClusterSpec(MachineWish, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for. offers: the plan's choice and its alternatives, in order.

    presence_s, envelope_s: how long nodes live without a server, unused and with running work. lanes: how
    many offers are tried at a time. retry: go on until machines are had. budget_micro: what the cluster may
    cost in all. first_job: the least number of a new job. What it inherits is wished by every alternative;
    differing: what each wishes, where that is not the same, and `ports` are opened besides. outside: files go
    elsewhere than below the home. held_by: the record that the cluster works for, which alone may move it,
    and which is told what becomes of it. hold_s: for how long a machine reserves money at a time under a cap,
    None is `envelope_s`. peers: other machines that its nodes know by name, `ADDRESS NAME`.
    """

    num_nodes: int
    offers: tuple[Offer, ...]
    plan_hash: str
    resources: dict[str, Any] = {}
    autostop: Autostop | None = None
    presence_s: float = 600.0
    envelope_s: float = 72 * 3600.0
    authority: str = ""
    gpus_per_node: float = 0
    lanes: int = 1
    retry: bool = False
    budget_micro: int | None = None
    outside: bool = False
    first_job: int = 1
    held_by: str = ""
    peers: tuple[str, ...] = ()
    differing: tuple[MachineWish, ...] = ()
    hold_s: float | None = None

    @property
    def wishes(self) -> tuple[MachineWish, ...]:
        """What is asked of machines by alternative; one where all ask for the same."""
        if not self.differing:
            return (MachineWish(**{name: getattr(self, name) for name in MachineWish.__struct_fields__}),)
        ports = ((wish, dict.fromkeys((*wish.ports, *self.ports))) for wish in self.differing)
        return tuple(msgspec.structs.replace(wish, ports=tuple(every)) for wish, every in ports)

    def is_extra(self, rank: int) -> bool:
        """A node beyond the gang, which comes and goes alone."""
        return rank >= self.num_nodes

    def wish(self, offer: Offer) -> MachineWish:
        """What is asked of machines of this offer."""
        return self.wishes[offer.alternative if self.differing else 0]


class Lane(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the offers being tried.

    phase: `trying`, `releasing` (it failed, its machines are being ended), `out` of offers, or `lost` to
    another lane.
    """

    offer: int
    phase: Literal["trying", "releasing", "out", "lost"] = "trying"
    attempt: int = 1
    error: dict[str, Any] | None = None


class ClusterState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """phase: `launching`, `waiting` (every offer failed; again at `resume_at`), `ready`, `failed`.

    offer: which one the cluster is on. lane: the one whose machines are the cluster's. lanes: what is being
    tried. cursor: the first offer not tried yet in this round. more: offers found after those of the plan.
    blocks: what refusals have disproved, and until when. extra_round, extra_at: how often in a row no extra
    nodes could be had, and when they are asked for again.
    """

    phase: str = "launching"
    offer: int = 0
    lane: int = 0
    lanes: tuple[Lane, ...] = ()
    cursor: int = 0
    round: int = 0
    resume_at: float | None = None
    more: tuple[Offer, ...] | None = None
    blocks: tuple[Block, ...] = ()
    configured: tuple[str, ...] = ()
    told_lost: tuple[tuple[int, str], ...] = ()
    autostop_applied: Autostop | None = None
    error: dict[str, Any] | None = None
    tried: tuple[dict[str, Any], ...] = ()
    draining_since: float | None = None
    up_at: float | None = None
    extra_round: int = 0
    extra_at: float | None = None


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    rank: int
    lane: int = 0


class Adjustable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be changed on a living machine: what becomes of it when it ends itself, and open ports."""

    on_shutdown: Literal["stop", "terminate"]
    ports: tuple[str, ...] = ()


class NodeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """token: the idempotency token of the machine of this generation, written before the create call.

    place: where the infra says the machine is. boots: starts of this machine after its first; what ran on it
    before is gone. lost_agent: the agent that will never come back. absent_at: when the infra first said that
    the machine is gone. billed_from .. settled_to: seconds settled so far; billed_to: when the infra says it
    charges no more; settled_micro, reserved_micro: micro-dollars settled and held. told_until: until when
    the node knows that it is paid for. told_notices: what the infra announced and the history has, as
    (kind, at). adjusted: as the machine is known to be set, None if that is not known. refusals: starts
    in a row that the infra refused. unanswered: the answer to a create call of this token never came.
    """

    offer: Offer | None = None
    token: str = ""
    machine: str = ""
    place: str = ""
    address: str = ""
    reach: str = ""
    head_port: int = 0
    agent_version: str = ""
    attempts: int = 0
    boots: int = 0
    lost_agent: str = ""
    absent_at: float | None = None
    silent_since: float | None = None
    error: dict[str, Any] | None = None
    billed_from: float | None = None
    billed_to: float | None = None
    settled_to: float | None = None
    settled_micro: int = 0
    reserved_micro: int = 0
    told_until: float | None = None
    booted_at: float | None = None
    told_notices: tuple[tuple[str, float], ...] = ()
    adjusted: Adjustable | None = None
    refusals: int = 0
    unanswered: bool = False


def offers_of(spec: ClusterSpec, state: ClusterState) -> tuple[Offer, ...]:
    """The plan's offers, then those found when these were used up."""
    return spec.offers + (state.more or ())


def offer_of(cluster: Record, lane: int | None = None) -> Offer:
    """The offer a cluster is on, or the one that a lane of it tries."""
    state = cluster.state_as(ClusterState)
    index = state.lanes[lane].offer if lane is not None and lane < len(state.lanes) else state.offer
    return offers_of(cluster.spec_as(ClusterSpec), state)[index]


def head_of(cluster: Record) -> str:
    """The record id of the cluster's first node."""
    return node_id(cluster.id, 0, cluster.state_as(ClusterState).lane)


def gang_of(cluster: Record) -> list[str]:
    """The record ids of the cluster's nodes, by rank."""
    lane, count = cluster.state_as(ClusterState).lane, cluster.spec_as(ClusterSpec).num_nodes
    return [node_id(cluster.id, rank, lane) for rank in range(count)]


def node_slot(cluster: Record, rank: int, lane: int, target: str = "RELEASED") -> Record:
    """A new node slot without a machine; the cluster moves it when its lane has an offer."""
    return Record(
        id=node_id(cluster.id, rank, lane),
        kind="node",
        name=slot_name(rank, lane),
        parent=cluster.id,
        owner=cluster.owner,
        status="PENDING",
        target=target,
        spec=msgspec.json.encode(NodeSpec(rank=rank, lane=lane)),
    )


def machine_of(state: NodeState) -> Machine:
    """The machine of a node, as last seen."""
    return Machine(
        id=state.machine,
        token=state.token,
        state="running",
        tags={},
        address=state.address,
        reach=state.reach,
        place=state.place,
        spot=bool(state.offer and state.offer.spot),
    )


def adjustable(spec: ClusterSpec, offer: Offer, rank: int, *, can_stop: bool, capped: bool) -> Adjustable:
    """How the machine of a node should be set.

    One that ends itself, for idleness or for want of money, stops and keeps its disk where that was asked: by
    an autostop that does not go down, or by a budget, which ends time and no results. An extra node keeps
    nothing.
    """
    autostop = spec.autostop
    asked = not autostop.down if autostop is not None and autostop.idle_minutes >= 0 else capped
    keeps = can_stop and asked and not spec.is_extra(rank)
    return Adjustable(on_shutdown="stop" if keeps else "terminate", ports=spec.wish(offer).ports)


def incarnation(record: Record, state: NodeState) -> int:
    """The number of a node's agent: a new machine or, for a worker, a new boot is another agent.

    The head's agent stays the same over boots: its queue is on its disk.
    """
    head = record.spec_as(NodeSpec).rank == 0
    return record.generation * 1000 + (0 if head else state.boots)


def agent_name(record: Record, state: NodeState) -> str:
    """What the agent of this incarnation of a node calls itself."""
    return f"{record.id}.{incarnation(record, state)}"


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job of a cluster. secrets, files: references to what is kept beside the ledger.

    workdir: whether it starts in the working folder; older rows have a reference there. held_by: the record
    that the job works for: it is told what becomes of it, and it, not the job, drops what was kept.
    fresh_setup: the setup runs also where it ran before. earlier: jobs, as (cluster's record id, number),
    whose journals this one finds in the file `journal` below the home. hooks: scripts, as `run` and `timeout`
    (seconds), that run beside it when the infra announces that it takes the machine.
    """

    number: int
    num_nodes: int
    setup: str | None = None
    run: str | None = None
    envs: dict[str, str] = {}
    secrets: str = ""
    files: str = ""
    workdir: bool | str = False
    gpus_per_node: float = 0
    cpus_per_node: float = 0.5
    priority: int = 0
    title: str = ""
    task_id: str = ""
    user: str = ""
    held_by: str = ""
    fresh_setup: bool = False
    earlier: tuple[tuple[str, int], ...] = ()
    journal: str = ""
    hooks: tuple[dict[str, Any], ...] = ()


class JobState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the agent said last. drained: ranks whose whole log is with the server."""

    handed_to: int = 0
    submitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    ranks: tuple[dict[str, Any], ...] = ()
    drained: tuple[int, ...] = ()
    log_tail: str = ""
    cancel_sent: bool = False


class DaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """workers: how many are wanted. threads, memory: of each. numbers: which; None is the first `workers`.

    per_node: the most on a node, with extra nodes for those that the cluster's own do not hold; None shares
    the cluster's own nodes. files, setup: what a node gets and runs once; prelude: shell before a process.
    """

    workers: int
    threads: int = 1
    memory: str = "auto"
    numbers: tuple[int, ...] | None = None
    per_node: int | None = None
    files: str = ""
    setup: str = ""
    prelude: str = ""

    @property
    def members(self) -> tuple[int, ...]:
        """The numbers of the workers."""
        return self.numbers if self.numbers is not None else tuple(range(self.workers))

    def rank_of(self, number: int, num_nodes: int) -> int:
        """The node that a worker belongs to, on a cluster of so many own nodes."""
        return number // self.per_node if self.per_node else number % num_nodes


class DaskState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the scheduler listens, as seen on the cluster's network, and the workers that run."""

    scheduler: str = ""
    dashboard: str = ""
    workers: tuple[str, ...] = ()
    error: dict[str, Any] | None = None


class KernelSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """rank: of its node. session: what it is for, as a notebook's path. python: empty is that of jobs.

    lease_s: it ends when nobody was attached and nothing ran for so long.
    """

    rank: int
    session: str = ""
    python: str = ""
    lease_s: float


class KernelState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """attempts: how often its start was tried. exit_code: of the kernel, once it has ended by itself."""

    attempts: int = 0
    exit_code: int | None = None


class CreateMachine(Effect, frozen=True):
    token: str


class StartMachine(Effect, frozen=True):
    machine: Machine


class StopMachine(Effect, frozen=True):
    machine: Machine


class TerminateMachine(Effect, frozen=True):
    machine: Machine


class AdjustMachine(Effect, frozen=True):
    machine: Machine
    to: Adjustable


class StartAgent(Effect, frozen=True):
    machine: str


class RenewLease(Effect, frozen=True):
    """Tell a node until when it is paid for; None is as long as its lease says."""

    until: float | None
    stop: bool


class WireAgents(Effect, frozen=True):
    wiring: tuple[str, ...]


class TellLost(Effect, frozen=True):
    """Tell the head which agents will never come back, as (rank, agent's name)."""

    lost: tuple[tuple[int, str], ...]


class SetAutostop(Effect, frozen=True):
    autostop: Autostop


class TakeJobs(Effect, frozen=True):
    """Write down jobs that the head knows and the ledger does not, as after its loss."""

    numbers: tuple[int, ...]


class FindOffers(Effect, frozen=True):
    """Look beyond the plan's offers."""


class DropKept(Effect, frozen=True):
    """Forget what was kept beside the ledger: secrets, and a snapshot of files."""

    secrets: tuple[str, ...]
    files: str = ""


class SubmitJob(Effect, frozen=True):
    number: int


class CancelJob(Effect, frozen=True):
    number: int


class ApplyDask(Effect, frozen=True):
    workers: int


class EndDask(Effect, frozen=True):
    pass


class StartKernel(Effect, frozen=True):
    name: str


class EndKernel(Effect, frozen=True):
    name: str


JOB_FINAL = frozenset({"SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"})
NODE_FINAL = frozenset({"ENDED"})
