"""What the ledger keeps of clusters, nodes, jobs and Dask clusters: specs, states, effects, words.

Only data. Fields are only ever added, each with a default, so that older rows and older servers still read.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skynb.control.records import Effect, Record
from skynb.wire import WaitFor
from skynb_clusters.contract import Machine


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The offer a node is created from. `hourly_micro` is micro-dollars per hour of one node."""

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


class Autostop(msgspec.Struct, frozen=True, kw_only=True):
    """End the cluster after `idle_minutes` without work; negative is never."""

    idle_minutes: float
    down: bool = False
    wait_for: WaitFor = "jobs_and_ssh"


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for. offers: the plan's choice and its alternatives, in order.

    presence_s, envelope_s: how long nodes live without a server, unused and with running work.
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


class ClusterState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """phase: `launching`, `releasing` (an attempt failed, its machines are being ended), `ready`."""

    phase: str = "launching"
    offer: int = 0
    attempt: int = 1
    configured: tuple[str, ...] = ()
    told_lost: tuple[tuple[int, str], ...] = ()
    autostop_applied: Autostop | None = None
    error: dict[str, Any] | None = None
    tried: tuple[dict[str, Any], ...] = ()
    draining_since: float | None = None
    up_at: float | None = None


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    rank: int


class NodeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """token: the idempotency token of the machine of this generation, written before the create call.

    place: where the infra says the machine is. boots: starts of this machine after its first; what ran on it
    before is gone. lost_agent: the agent that will never come back. absent_at: when the infra first said that
    the machine is gone. billed_from .. settled_to: seconds settled so far; billed_to: when the infra says it
    charges no more; settled_micro, reserved_micro: micro-dollars settled and held.
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
    booted_at: float | None = None


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
    )


def incarnation(record: Record, state: NodeState) -> int:
    """The number of a node's agent: a new machine or, for a worker, a new boot is another agent.

    The head's agent stays the same over boots: its queue is on its disk.
    """
    return record.generation * 1000 + (state.boots if record.name != "0" else 0)


def agent_name(record: Record, state: NodeState) -> str:
    """What the agent of this incarnation of a node calls itself."""
    return f"{record.id}.{incarnation(record, state)}"


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job of a cluster. secrets, workdir: references to what is kept beside the ledger."""

    number: int
    num_nodes: int
    setup: str | None = None
    run: str | None = None
    envs: dict[str, str] = {}
    secrets: str = ""
    workdir: str = ""
    gpus_per_node: float = 0
    cpus_per_node: float = 0.5
    priority: int = 0
    title: str = ""
    task_id: str = ""
    user: str = ""


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
    """workers: how many are wanted. threads, memory: of each. numbers: which; None is the first `workers`."""

    workers: int
    threads: int = 1
    memory: str = "auto"
    numbers: tuple[int, ...] | None = None


class DaskState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the scheduler listens, as seen on the cluster's network, and the workers that run."""

    scheduler: str = ""
    dashboard: str = ""
    workers: tuple[str, ...] = ()
    error: dict[str, Any] | None = None


class CreateMachine(Effect, frozen=True):
    token: str


class StartMachine(Effect, frozen=True):
    machine: Machine


class StopMachine(Effect, frozen=True):
    machine: Machine


class TerminateMachine(Effect, frozen=True):
    machine: Machine


class StartAgent(Effect, frozen=True):
    machine: str


class WireAgents(Effect, frozen=True):
    wiring: tuple[str, ...]


class TellLost(Effect, frozen=True):
    """Tell the head which agents will never come back, as (rank, agent's name)."""

    lost: tuple[tuple[int, str], ...]


class SetAutostop(Effect, frozen=True):
    autostop: Autostop


class DropKept(Effect, frozen=True):
    """Forget what was kept beside the ledger: secrets, and a packed working folder."""

    secrets: tuple[str, ...]
    bundle: str = ""


class SubmitJob(Effect, frozen=True):
    number: int


class CancelJob(Effect, frozen=True):
    number: int


class ApplyDask(Effect, frozen=True):
    workers: int


class EndDask(Effect, frozen=True):
    pass


JOB_FINAL = frozenset({"SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"})
NODE_FINAL = frozenset({"ENDED"})
