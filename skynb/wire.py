"""What travels between client and server under /skynb/api/v1. Fields are only ever added, with defaults."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

API_VERSION = 1
OLDEST_API_VERSION = 1
API_PREFIX = "/skynb/api/v1"
WaitFor = Literal["jobs_and_ssh", "jobs", "none"]
VERSION_HEADER = "X-Skynb-Api-Version"
KEY_HEADER = "Idempotency-Key"


class ServerInfo(msgspec.Struct, kw_only=True):
    """Who answers. started_at: seconds since the epoch."""

    version: str
    api_version: int
    pid: int
    home: str
    started_at: float


class AutostopRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """idle_minutes: None or negative turns autostop off. wait_for: what counts as work."""

    idle_minutes: float | None = None
    down: bool = False
    wait_for: WaitFor = "jobs_and_ssh"


class LaunchRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A task as `Task.to_wire()` gives it. dryrun: plan only. setup: False skips the task's setup.

    fresh_setup: run it also on nodes that have had it. fast: skip it on a cluster that is up. retry: go on
    until machines are had. race: so many offers are tried at a time. budget_micro: what the cluster may cost
    in all, in micro-dollars. hold_s: under a cap, for how many seconds a machine reserves money at a time;
    None is for as long as it may work without a server.
    """

    task: dict[str, Any]
    secrets: dict[str, str] = {}
    cluster_name: str | None = None
    dryrun: bool = False
    setup: bool = True
    autostop: AutostopRequest | None = None
    plan_hash: str | None = None
    retry: bool = False
    race: int = 1
    budget_micro: int | None = None
    fresh_setup: bool = False
    fast: bool = False
    hold_s: float | None = None


class LeaseInfo(msgspec.Struct, kw_only=True):
    """How long nodes live without a server, in seconds: unused ones, and ones with running work."""

    presence_s: float
    envelope_s: float


class LaunchAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """job: its number on the cluster; None when the task has nothing to run. plan: as `Plan.to_dict()`.

    hourly_micro: micro-dollars per hour of all nodes of a new cluster. worst_micro: what it can cost at most
    if nobody ever looks at it again: its nodes end by their lease, or when their budget does.
    """

    cluster: str
    job: int | None = None
    plan: dict[str, Any] | None = None
    hourly_micro: int | None = None
    dryrun: bool = False
    lease: LeaseInfo | None = None
    worst_micro: int | None = None


class BudgetInfo(msgspec.Struct, kw_only=True):
    """A cap and where it stands, in micro-dollars. account: `all`, `user:<name>` or `run:<cluster>`.

    settled: this month, or in the whole run. free: what may still be promised.
    """

    account: str
    cap_micro: int
    settled_micro: int
    reserved_micro: int
    free_micro: int


class BudgetRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """cap_micro: micro-dollars a month, None takes the cap away. user: whose; None is everybody together."""

    cap_micro: int | None
    user: str | None = None


class ExecRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A task to run on a live cluster, without its setup."""

    task: dict[str, Any]
    secrets: dict[str, str] = {}


class CancelRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """jobs: numbers to cancel; all: every job that is not final."""

    jobs: list[int] = []
    all: bool = False


class CancelAnswer(msgspec.Struct, kw_only=True):
    """The jobs whose cancel is now durable; those that were final already are not among them."""

    cancelled: list[int]


class NodeInfo(msgspec.Struct, kw_only=True):
    """One node slot. observed_at: when it was last seen."""

    rank: int
    status: str
    address: str = ""
    machine: str = ""
    reason: str = ""
    observed_at: float | None = None


class ClusterInfo(msgspec.Struct, kw_only=True):
    """A cluster. hourly_micro: micro-dollars per hour of all nodes; settled and reserved: micro-dollars."""

    id: str
    name: str
    status: str
    target: str
    owner: str
    num_nodes: int
    infra: str
    instance_type: str
    reason: str = ""
    accelerators: str = ""
    hourly_micro: int = 0
    settled_micro: int = 0
    reserved_micro: int = 0
    plan_hash: str = ""
    created_at: float = 0.0
    up_at: float | None = None
    ended_at: float | None = None
    observed_at: float | None = None
    autostop: AutostopRequest | None = None
    lease: LeaseInfo | None = None
    nodes: list[NodeInfo] = []
    final: bool = False
    error: dict[str, Any] | None = None


class RefreshRequest(msgspec.Struct, kw_only=True):
    """clusters: by name, an empty list is all that live."""

    clusters: list[str]


class RefreshInfo(msgspec.Struct, kw_only=True):
    """What a look at the infra showed. blind: infra that could not be seen, and why."""

    clusters: list[ClusterInfo]
    blind: list[str] = []


class JobInfo(msgspec.Struct, kw_only=True):
    """A cluster job. final: the verdict stands; logs_complete: every byte of its log is with the server."""

    cluster: str
    id: int
    name: str
    status: str
    user: str
    num_nodes: int
    reason: str = ""
    priority: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    exit_codes: list[int | None] = []
    final: bool = False
    logs_complete: bool = False


class CostInfo(msgspec.Struct, kw_only=True):
    """The bill of one cluster, in micro-dollars: settled for good, running since, reserved ahead.

    node_seconds: the machine time behind settled and running.
    """

    cluster: str
    id: str
    status: str
    infra: str
    instance_type: str
    num_nodes: int
    hourly_micro: int
    node_seconds: float
    settled_micro: int
    reserved_micro: int
    created_at: float
    ended_at: float | None = None
    running_micro: int = 0


class ChargeInfo(msgspec.Struct, kw_only=True):
    """What one node cost at one price: micro-dollars for seconds between begin and end (since the epoch).

    hourly_micro, as_of, source: the price row behind it. settled: for good; what is not runs still, and its
    end is when it was asked for.
    """

    node: str
    infra: str
    instance_type: str
    spot: bool
    hourly_micro: int
    as_of: str | None
    source: str
    begin: float
    end: float
    seconds: float
    micro: int
    settled: bool


class DayInfo(msgspec.Struct, kw_only=True):
    """What one day (UTC, as `2026-11-28`) cost, in micro-dollars, all and by cloud; what runs is counted."""

    day: str
    micro: int
    clouds: dict[str, int] = {}


class RunInfo(msgspec.Struct, kw_only=True):
    """Successful runs of one task on one kind of machine. hours: their median; count: accelerators a node."""

    task: str
    accelerator: str | None
    count: float
    num_nodes: int
    hours: float
    runs: int


class CheckInfo(msgspec.Struct, kw_only=True):
    """Whether an infra may be used, and how to mend it if not."""

    infra: str
    ok: bool
    detail: str
    mend: str = ""


class SshInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How `ssh` reaches a node from the server's host; files are paths there, and may be empty as jump may.

    name: of the cluster, with the rank behind it on every node but the head.
    """

    name: str
    rank: int
    host: str
    user: str
    port: int = 22
    key_file: str = ""
    jump: str = ""
    known_hosts: str = ""
    host_key_alias: str = ""


class MachineInfo(msgspec.Struct, kw_only=True):
    """A machine that bears skynb's tags. name: `INFRA:ID`.

    claim: `claimed` by a live record here; ours and given up (`unclaimed`), or `unknown` to the ledger;
    another owner's, its first lease `lapsed` or not (`others`); or not skynb's (`foreign`). hourly_micro: the
    catalog's price, None where it has none. created_at: None where unknown.
    """

    name: str
    state: str
    claim: Literal["claimed", "unclaimed", "unknown", "lapsed", "others", "foreign"]
    why: str
    cluster: str = ""
    owner: str = ""
    place: str = ""
    instance_type: str = ""
    spot: bool = False
    created_at: float | None = None
    hourly_micro: int | None = None


class MachinesInfo(msgspec.Struct, kw_only=True):
    """A look at all machines. blind: what could not be seen, and why. disabled: infra that was not asked."""

    machines: list[MachineInfo] = []
    blind: list[str] = []
    disabled: list[str] = []


class ReapRequest(msgspec.Struct, kw_only=True):
    """Machines to end, as `INFRA:ID`; none of them may be claimed. foreign: also what skynb did not rent."""

    machines: list[str]
    foreign: bool = False


class RebuildRequest(msgspec.Struct, kw_only=True):
    """machines: as `INFRA:ID`, whose clusters to write; none is all that the ledger never heard of.

    owner: the name of a server that is gone for good, whose machines this one takes over.
    """

    machines: list[str]
    owner: str | None = None


class RebuildInfo(msgspec.Struct, kw_only=True):
    """clusters: names of those written. left: machines that were not taken, and why.

    blind: as in MachinesInfo.
    """

    clusters: list[str] = []
    left: dict[str, str] = {}
    blind: list[str] = []


class DaskRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """workers: how many in all; None is one a node. memory: of each, as Dask writes it (`4GiB`, `auto`).

    retire: names of the workers that go first when there are to be fewer; else the youngest go. per_node: the
    most on a node; nodes are rented for those beyond, and given back when they go. None: as it is, or at
    first any number on the nodes that are there. task: where Dask begins, what each node does first: it gets
    the task's files, runs its `setup` once, and its `run` before each process.
    """

    workers: int | None = None
    threads: int = 1
    memory: str = "auto"
    retire: list[str] = []
    per_node: int | None = None
    task: dict[str, Any] | None = None


class DaskInfo(msgspec.Struct, kw_only=True):
    """A Dask cluster on a cluster. tls: ca, cert and key in PEM, for clients.

    wanted: how many workers there should be; names: which. workers: those that were started. threads,
    memory: of each worker. per_node: the most on a node, None where nothing is rented for them.
    """

    cluster: str
    status: str
    wanted: int
    names: list[str] = []
    threads: int = 1
    memory: str = "auto"
    per_node: int | None = None
    workers: list[str] = []
    scheduler: str = ""
    dashboard: str = ""
    reason: str = ""
    tls: dict[str, str] = {}


LEASE_HOURS = 12.0  # of a kernel, unless told otherwise


class KernelRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """rank: of the node. session: what it is for, as a notebook's path. python: empty is that of jobs.

    lease_hours: it ends when nobody was attached to it and nothing ran for so long.
    """

    rank: int = 0
    session: str = ""
    python: str = ""
    lease_hours: float = LEASE_HOURS


class KernelInfo(msgspec.Struct, kw_only=True):
    """A kernel on a node. attached: somebody is connected to it now. exit_code: once it has ended."""

    id: int
    cluster: str
    rank: int
    status: str
    session: str = ""
    python: str = ""
    lease_hours: float = 0.0
    created_at: float = 0.0
    attached: bool = False
    exit_code: int | None = None
    reason: str = ""
    final: bool = False


class EventInfo(msgspec.Struct, kw_only=True):
    """One line of the causal history."""

    seq: int
    at: float
    name: str
    record: str | None = None
    data: dict[str, Any] = {}


JOURNAL_MARK = "\x1e"
"""Begins a line of a log that is for programs: the next attempt at the work finds all such lines."""


class LogLine(msgspec.Struct, kw_only=True):
    """A piece of a job's log, of one rank; not necessarily a whole line."""

    rank: int
    text: str


MANAGED_STATUSES = (
    *("PENDING", "STARTING", "RUNNING", "RECOVERING", "CANCELLING", "SUCCEEDED", "CANCELLED"),
    *("FAILED", "FAILED_SETUP", "FAILED_NO_RESOURCE", "FAILED_PRECHECKS"),
)


class ManagedRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A managed job: tasks as `Task.to_wire()` gives them, the secrets of each beside.

    needs: by task, the indices of those that must have succeeded before. parallel: they run side by side,
    until those of `primary` have ended and `delays` seconds (by index) more. num_jobs: so many jobs of the
    same, each with its rank; None is one without. strategy: before what the tasks say. budget_micro: what a
    job may cost in all. deadline_s: seconds from now after which it is ended. pool: whose workers do it.
    dryrun: plan only.
    """

    tasks: list[dict[str, Any]]
    secrets: list[dict[str, str]] = []
    needs: list[list[int]] = []
    name: str | None = None
    parallel: bool = False
    primary: list[int] = []
    delays: dict[int, float] = {}
    num_jobs: int | None = None
    priority: int | None = None
    strategy: str | None = None
    budget_micro: int | None = None
    deadline_s: float | None = None
    pool: str | None = None
    dryrun: bool = False


class ManagedAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """jobs: their numbers, none for a dry run. name: theirs. plans: what each task would run on today."""

    jobs: list[int]
    name: str
    plans: list[dict[str, Any]] = []
    dryrun: bool = False


class AttemptInfo(msgspec.Struct, kw_only=True):
    """A cluster that a task was given. jobs: numbers of its jobs there. ended_by: a word, why: a sentence.

    settled and reserved: micro-dollars.
    """

    number: int
    cluster: str
    infra: str = ""
    instance_type: str = ""
    accelerators: str = ""
    spot: bool = False
    hourly_micro: int = 0
    began_at: float = 0.0
    up_at: float | None = None
    over_at: float | None = None
    ended_by: str = ""
    why: str = ""
    jobs: list[int] = []
    settled_micro: int = 0
    reserved_micro: int = 0


class ManagedTaskInfo(msgspec.Struct, kw_only=True):
    """A task of a managed job. restarts: failures of its own that were tried again and counted."""

    index: int
    name: str
    status: str
    reason: str = ""
    num_nodes: int = 1
    restarts: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    attempts: list[AttemptInfo] = []


class ManagedInfo(msgspec.Struct, kw_only=True):
    """A managed job. recoveries: attempts after the first of each task. final: the verdict stands.

    closed: nothing of it is left to end or to pay.
    """

    id: int
    name: str
    status: str
    user: str
    reason: str = ""
    priority: int = 0
    rank: int | None = None
    created_at: float = 0.0
    admitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    recoveries: int = 0
    settled_micro: int = 0
    reserved_micro: int = 0
    tasks: list[ManagedTaskInfo] = []
    final: bool = False
    closed: bool = False


class ManagedPage(msgspec.Struct, kw_only=True):
    """Managed jobs, newest first. counts: of all jobs by status. more: there are older ones that fit."""

    jobs: list[ManagedInfo]
    counts: dict[str, int] = {}
    more: bool = False


class ManagedCancel(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Which managed jobs to cancel: by number, by name, of a pool, or all that are not final."""

    jobs: list[int] = []
    name: str | None = None
    pool: str | None = None
    all: bool = False


class PoolRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A pool of workers: a task as `Task.to_wire()` gives it, its secrets beside.

    workers: so many, before what the task says. dryrun: plan only.
    """

    task: dict[str, Any]
    secrets: dict[str, str] = {}
    workers: int | None = None
    dryrun: bool = False


class WorkerInfo(msgspec.Struct, kw_only=True):
    """A worker of a pool. status: STARTING, SETTING_UP, READY, BUSY or ENDING. job: whom it works for.

    version: of the pool when it was rented. hourly: micro-dollars.
    """

    number: int
    cluster: str
    status: str
    version: int
    began_at: float
    infra: str = ""
    instance_type: str = ""
    accelerators: str = ""
    spot: bool = False
    hourly_micro: int = 0
    job: int | None = None
    reason: str = ""


class PoolInfo(msgspec.Struct, kw_only=True):
    """A pool. wanted: how many workers there should be now, of `least` to `most`. waiting: tasks without one.

    plan: what a worker would be today, of a dry run.
    """

    name: str
    status: str
    user: str
    reason: str = ""
    version: int = 1
    wanted: int = 0
    least: int = 0
    most: int = 0
    waiting: int = 0
    created_at: float = 0.0
    settled_micro: int = 0
    reserved_micro: int = 0
    workers: list[WorkerInfo] = []
    plan: dict[str, Any] | None = None
