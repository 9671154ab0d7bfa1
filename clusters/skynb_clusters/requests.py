"""What a person may ask of clusters.

Each request is one ledger transaction that writes intents and moves targets; it calls no provider. When it
returns, it is durable, and the reconciler does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec

from skynb.control.budgets import EVERYBODY, run_account, user_account
from skynb.control.clock import new_id
from skynb.control.ledger import Transaction
from skynb.control.records import Event, Move, Record
from skynb.errors import BudgetError, ConflictError, NotFoundError, SkynbError, SpecError, UnsupportedError
from skynb.planning import Plan, Rejection, plan, this_machine
from skynb.spec import Task
from skynb.wire import (
    AutostopRequest,
    BudgetRequest,
    CancelAnswer,
    CancelRequest,
    ExecRequest,
    LaunchAnswer,
    LaunchRequest,
    LeaseInfo,
)
from skynb_clusters import tls
from skynb_clusters.core import Core
from skynb_clusters.deciders.money import LEAST_S
from skynb_clusters.naming import job_id, node_id
from skynb_clusters.offers import offer_from
from skynb_clusters.records import (
    JOB_FINAL,
    Autostop,
    ClusterSpec,
    JobSpec,
    Offer,
    gang_of,
    node_slot,
    offer_of,
)
from skynb_clusters.rehearsal import as_simulated, rehearsed
from skynb_clusters.snapshots import sources_of
from skynb_clusters.surroundings import LOCAL
from skynb_clusters.views import find_cluster
from skynb_clusters.wishes import (
    Wishes,
    asked_autostop,
    autostop_of,
    check_fits,
    check_name,
    goes_outside,
    gpus,
    hooks_of,
    infras,
    narrowed,
    read_task,
)

MOST_LANES = 8
HELD_IDLE_MINUTES = 30.0  # a cluster whose holder gives it nothing to do for so long goes
HELD_PRESENCE_S = 3600.0  # a result waits so long on its node for a server that is away


class Rental(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster for the work of another record, its holder. cluster: its record id; offers: in order.

    idle_minutes: without anything to do for so long it goes; None is never.
    """

    cluster: str
    name: str
    holder: str
    user: str
    task: Task
    plan: Plan
    offers: tuple[Offer, ...]
    budget_micro: int | None = None
    idle_minutes: float | None = HELD_IDLE_MINUTES


class Desk:
    """Takes requests for one core. Methods run in a worker thread, inside the transaction they are given.

    Each answers with what the person gets and the records to look at now.
    """

    def __init__(self, core: Core, lease: LeaseInfo) -> None:
        self._core = core
        self._lease = lease
        self._here = cache(this_machine)  # asks the GPU driver
        self._around = core.surroundings

    def launch(
        self, tx: Transaction, request: LaunchRequest, user: str, files: str = ""
    ) -> tuple[LaunchAnswer, Sequence[str]]:
        """A new cluster for the task, or the task on the live cluster of that name, woken if need be."""
        task = read_task(request.task, request.secrets)
        name = request.cluster_name or f"sky-{new_id('x')[2:6]}"
        cluster = tx.find("cluster", name)
        if cluster is not None:
            check_free(cluster)
            return self._launch_here(tx, cluster, task, request, user, files)
        check_name(name)
        possible = self.possible(task)
        autostop = autostop_of(request.autostop) or asked_autostop(possible.resources)
        wishes = Wishes.of(possible.resources, autostop, outside=goes_outside(task))
        chosen = self.plan(task, wishes)
        offers = self._suiting(chosen, wishes)
        if request.plan_hash and request.plan_hash != chosen.hash:
            raise ConflictError(
                "the plan is another one now",
                why=f"asked for {request.plan_hash[:12]}, planned {chosen.hash[:12]}",
                mend="Look at `skynb plan` again",
            )
        free = self._affordable(tx, chosen, request, user)
        worst = worst_case(chosen.hourly_micro, self._lease, request.race, free)
        if request.dryrun:
            return LaunchAnswer(
                cluster=name,
                plan=chosen.to_dict(),
                hourly_micro=chosen.hourly_micro,
                dryrun=True,
                lease=self._lease,
                worst_micro=worst,
            ), ()
        spec = self._spec(name, task, chosen, request, offers=offers, autostop=autostop, **wishes.in_spec())
        cluster = self._insert_cluster(tx, name, spec, chosen, user)
        job = self._insert_job(tx, cluster, task, request.setup, user, files, fresh=request.fresh_setup)
        answer = LaunchAnswer(
            cluster=name,
            job=job,
            plan=chosen.to_dict(),
            hourly_micro=chosen.hourly_micro,
            lease=self._lease,
            worst_micro=worst,
        )
        return answer, _family(cluster, task.num_nodes, job)

    def exec(
        self, tx: Transaction, name: str, request: ExecRequest, user: str, files: str = ""
    ) -> tuple[LaunchAnswer, Sequence[str]]:
        """The task on a cluster that is up or coming up, without its setup."""
        cluster = find_free(tx, name)
        if cluster.target != "UP":
            raise ConflictError(
                f"cluster {name!r} is {cluster.status}", mend=f"`skynb start {name}` brings it up first"
            )
        task = read_task(request.task, request.secrets)
        self._check_fits(cluster, task)
        job = self._insert_job(tx, cluster, task, False, user, files)
        if job is None:
            raise SpecError("there is nothing to run", where="run", mend="Give the task a run section")
        return LaunchAnswer(cluster=name, job=job), (cluster.id, job_id(cluster.id, job))

    def stop(self, tx: Transaction, name: str) -> Sequence[str]:
        """Move the cluster towards machines that are off and keep their disks."""
        cluster = find_free(tx, name)
        offer = offer_of(cluster)
        if not self._core.can_stop(offer):
            kind = "spot machines" if offer.spot else "machines"
            raise UnsupportedError(f"{offer.cloud} cannot stop {kind}", mend=f"`skynb down {name}`")
        return self._move(tx, cluster, "STOPPED", "cluster.stop.asked")

    def start(self, tx: Transaction, name: str) -> Sequence[str]:
        """Move the cluster, and every node of it, towards running; also repairs one that is not whole."""
        cluster = find_free(tx, name)
        woken = self._move(tx, cluster, "UP", "cluster.start.asked")
        nodes = gang_of(cluster)
        for node in nodes:
            tx.move(Move(node, "UP"))
        return [*woken, *nodes]

    def down(self, tx: Transaction, name: str) -> Sequence[str]:
        """Move the cluster towards nothing left."""
        return self._move(tx, find_free(tx, name), "TERMINATED", "cluster.down.asked")

    def autostop(self, tx: Transaction, name: str, request: AutostopRequest) -> Sequence[str]:
        """Set or clear the idle time after which the cluster stops or ends."""
        cluster = find_free(tx, name)
        spec = msgspec.structs.replace(cluster.spec_as(ClusterSpec), autostop=autostop_of(request))
        if unmet := self._core.unmet(offer_of(cluster), Wishes.kept(spec)):
            raise unmet
        tx.amend(cluster, spec=spec)
        data = msgspec.to_builtins(request)
        tx.append(Event("autostop.asked", data), record=cluster.id, scope=cluster.id)
        return (cluster.id,)

    def cancel(
        self, tx: Transaction, name: str, request: CancelRequest
    ) -> tuple[CancelAnswer, Sequence[str]]:
        """Move jobs towards their end. A final one stays as it is; an unknown one is a NotFoundError."""
        cluster = find_free(tx, name)
        jobs = {int(child.name): child for child in tx.children(cluster.id) if child.kind == "job"}
        if missing := [number for number in request.jobs if number not in jobs]:
            raise NotFoundError(f"cluster {name!r} has no job {missing[0]}", mend=f"`skynb queue {name}`")
        if not request.jobs and not request.all:
            raise SpecError("no job is named", where="jobs", mend="Name jobs by number, or all of them")
        chosen = [
            number
            for number, job in jobs.items()
            if (request.all or number in request.jobs) and job.status not in JOB_FINAL
        ]
        for number in chosen:
            tx.move(Move(jobs[number].id, "CANCELLED"))
            tx.append(Event("job.cancel.asked", {"job": number}), record=jobs[number].id, scope=cluster.id)
        return CancelAnswer(cancelled=chosen), [jobs[number].id for number in chosen]

    def prepare(self, config: dict[str, Any]) -> str:
        """What takes time and so stands outside the transaction: ask who has own offers, keep the files."""
        self._here()
        with suppress(SkynbError):  # said better when the task itself is read
            self._around.look(infras(Task.from_wire(config, {})))
        return self.keep(config)

    def keep(self, config: dict[str, Any]) -> str:
        """The reference to a snapshot of the task's files, or empty."""
        try:
            task = read_task(config, {}, of_pool=True)
        except SkynbError:
            return ""  # said better when the task itself is read
        workdir = task.workdir if isinstance(task.workdir, str) else None
        sources = sources_of(workdir, task.get_local_to_remote_file_mounts())
        return self._core.snapshots.take(sources) if sources else ""

    def plan_now(self, task: Task) -> Plan:
        """`plan`, by what the infra says when it is asked now. Blocks, so outside of transactions."""
        self._around.look(infras(task))
        return self.plan(task)

    def possible(self, task: Task) -> Task:
        """The task without alternatives that no infra here can fulfil; as it is if none is left."""
        return self._narrowed(task)[0]

    def _narrowed(self, task: Task) -> tuple[Task, tuple[Rejection, ...]]:
        if rehearsed(task) is not None:
            return task, ()
        named = infras(task)
        known = self._around.clouds(named)
        clouds = [one for one in known if one != LOCAL or LOCAL in named or len(known) == 1]
        return narrowed(task, clouds, self._core.unable)

    def plan(self, task: Task, wishes: Wishes | None = None) -> Plan:
        """The plan over the infra that may be used and can do what the task wishes, with what is passed over.

        On this machine where there is no other. UnsupportedError for infra that is named and cannot.
        """
        task, passed = self._narrowed(task)
        wishes = wishes or Wishes.of(
            task.resources, asked_autostop(task.resources), outside=goes_outside(task)
        )
        if (played := rehearsed(task)) is not None:
            return as_simulated(plan(played))
        named = infras(task)
        known = self._around.clouds(named)
        here = known == [LOCAL] or LOCAL in named
        unmet = {cloud: self._core.unable(cloud, wishes) for cloud in known}
        clouds = [cloud for cloud in known if unmet[cloud] is None]
        needed = [*named, *known] if not clouds else [LOCAL, *named] if here else named
        if error := next((found for cloud in needed if (found := unmet.get(cloud))), None):
            raise error
        offers = (*self._around.offers(), *([self._here()] if here else ()))
        chosen = plan(task, clouds=clouds, extra_offers=offers)
        (planned,) = chosen.tasks
        planned = msgspec.structs.replace(planned, rejected=(*passed, *planned.rejected))
        return msgspec.structs.replace(chosen, tasks=(planned,))

    def rent(self, tx: Transaction, rental: Rental) -> Sequence[str]:
        """A cluster that works for another record; one that is there already stays as it is."""
        if tx.get(rental.cluster) is not None:
            return (rental.cluster,)
        idle = rental.idle_minutes
        autostop = None if idle is None else Autostop(idle_minutes=idle, down=True)
        wishes = Wishes.of(rental.task.resources, autostop, outside=goes_outside(rental.task))
        request = LaunchRequest(task={}, retry=True, budget_micro=rental.budget_micro)
        self._affordable(tx, rental.plan, request, rental.user)
        presence = max(self._lease.presence_s, HELD_PRESENCE_S)
        spec = self._spec(
            rental.name,
            rental.task,
            rental.plan,
            request,
            offers=tuple(offer for offer in rental.offers if self._core.unmet(offer, wishes) is None),
            autostop=autostop,
            **wishes.in_spec(),
        )
        spec = msgspec.structs.replace(spec, held_by=rental.holder, presence_s=presence)
        cluster = self._insert_cluster(tx, rental.name, spec, rental.plan, rental.user, rental.cluster)
        return _family(cluster, rental.task.num_nodes, None)

    def introduce(self, tx: Transaction, cluster_id: str, peers: tuple[str, ...]) -> Sequence[str]:
        """Let the nodes of a cluster know these machines by name; one that is going is left alone."""
        cluster = tx.get(cluster_id)
        if cluster is None or cluster.target != "UP":
            return ()
        spec = cluster.spec_as(ClusterSpec)
        tx.amend(cluster, spec=msgspec.structs.replace(spec, peers=peers))
        return (cluster_id,)

    def submit(self, tx: Transaction, cluster_id: str, job: JobSpec) -> Sequence[str]:
        """A job of a cluster that works for another record; one of that number stays as it is."""
        cluster = tx.get(cluster_id)
        if cluster is None or cluster.target != "UP":
            raise ConflictError(f"{cluster_id} is not up any more", retryable="no")
        record = self._job_record(cluster, job)
        if tx.get(record.id) is None:
            tx.insert(record)
            tx.append(Event("job.asked", {"job": job.number}), record=record.id, scope=cluster.id)
        return (record.id,)

    def _launch_here(
        self, tx: Transaction, cluster: Record, task: Task, request: LaunchRequest, user: str, files: str
    ) -> tuple[LaunchAnswer, Sequence[str]]:
        if cluster.target == "TERMINATED":
            raise ConflictError(
                f"cluster {cluster.name!r} is being taken down", mend="Take another name, or wait"
            )
        number = self._check_fits(cluster, task)
        if request.dryrun:
            return LaunchAnswer(cluster=cluster.name, dryrun=True), ()
        woken = list(self.start(tx, cluster.name)) if cluster.target == "STOPPED" else [cluster.id]
        _, items = task.resources.alternatives()
        woken += self._open(tx, cluster.name, tuple(map(str, items[number].ports or ())))
        if request.autostop is not None:
            woken += self.autostop(tx, cluster.name, request.autostop)
        setup = request.setup and not (request.fast and cluster.status == "UP")
        job = self._insert_job(tx, cluster, task, setup, user, files, fresh=request.fresh_setup)
        if job is not None:
            woken.append(job_id(cluster.id, job))
        return LaunchAnswer(cluster=cluster.name, job=job), woken

    def _check_fits(self, cluster: Record, task: Task) -> int:
        """Which alternative of the task the cluster serves.

        ConflictError if the task needs more than the cluster is, UnsupportedError if more than it can.
        """
        number = check_fits(cluster, task)
        if unmet := self._core.unmet(offer_of(cluster), Wishes(outside=goes_outside(task))):
            raise unmet
        return number

    def _open(self, tx: Transaction, name: str, ports: Sequence[str]) -> Sequence[str]:
        """Ports that the cluster should have open besides its own; the nodes to look at if there are any."""
        cluster = find_cluster(tx, name)
        spec = cluster.spec_as(ClusterSpec)
        asked = spec.wish(offer_of(cluster)).ports
        new = tuple(port for port in ports if port not in asked)
        if not new:
            return ()
        tx.amend(cluster, spec=msgspec.structs.replace(spec, ports=(*spec.ports, *new)))
        return gang_of(cluster)

    def _suiting(self, chosen: Plan, wishes: Wishes) -> tuple[Offer, ...]:
        """The plan's offers that fulfil the wishes; UnsupportedError if its choice does not."""
        offers = [offer_from(candidate) for candidate in (chosen.choice, *chosen.alternatives)]
        if unmet := self._core.unmet(offers[0], wishes):
            raise unmet
        return tuple(offer for offer in offers if self._core.unmet(offer, wishes) is None)

    def _spec(
        self, name: str, task: Task, chosen: Plan, request: LaunchRequest, **wished: Any
    ) -> ClusterSpec:
        config, _ = task.to_wire()
        authority = tls.new_authority(name)
        return ClusterSpec(
            num_nodes=task.num_nodes,
            plan_hash=chosen.hash,
            resources=config.get("resources") or {},
            presence_s=self._lease.presence_s,
            envelope_s=self._lease.envelope_s,
            authority=self._core.secrets.put({"cert": authority.cert, "key": authority.key}),
            gpus_per_node=chosen.choice.accelerator_count or 0,
            lanes=request.race,
            retry=request.retry,
            budget_micro=request.budget_micro,
            hold_s=request.hold_s,
            **wished,
        )

    def _insert_cluster(
        self, tx: Transaction, name: str, spec: ClusterSpec, chosen: Plan, user: str, cluster_id: str = ""
    ) -> Record:
        cluster_id = cluster_id or new_id("cluster")
        cluster = tx.insert(
            Record(
                id=cluster_id,
                kind="cluster",
                name=name,
                parent=None,
                owner=user,
                status="INIT",
                target="UP",
                spec=msgspec.json.encode(spec),
            )
        )
        if spec.budget_micro is not None:
            tx.set_budget(run_account(cluster_id), spec.budget_micro, by=user)
        for lane in range(spec.lanes):
            for rank in range(spec.num_nodes):
                tx.insert(node_slot(cluster, rank, lane))
        data = {
            "plan": chosen.hash,
            "nodes": spec.num_nodes,
            "hourly_micro": chosen.hourly_micro,
            "lease": msgspec.to_builtins(self._lease),
        }
        tx.append(Event("cluster.launch", data), record=cluster_id, scope=cluster_id)
        return cluster

    def _affordable(self, tx: Transaction, chosen: Plan, request: LaunchRequest, user: str) -> int | None:
        """What the budgets leave for a new cluster, None if nothing caps it; BudgetError if too little."""
        if not 1 <= request.race <= MOST_LANES:
            raise SpecError(f"{request.race} offers cannot be tried at a time", where="race", mend="1 to 8")
        if request.hold_s is not None and request.hold_s < LEAST_S:
            raise SpecError(f"money is held for at least {LEAST_S} s", where="hold_s")
        if request.budget_micro is not None and request.budget_micro <= 0:
            raise SpecError("a budget is more than nothing", where="budget")
        played = offer_from(chosen.choice).rehearsed  # it is bound by its own cap alone
        caps = [] if played else [one.free for one in tx.budgets((user_account(user), EVERYBODY))]
        free = min([*caps, *([request.budget_micro] if request.budget_micro else [])], default=None)
        least = chosen.hourly_micro * request.race * LEAST_S // 3600
        if free is not None and free < least:
            raise BudgetError(
                f"the budget leaves ${max(0, free) / 1e6:.2f}, and this costs "
                f"${chosen.hourly_micro / 1e6:.2f} an hour",
                why=f"Machines are rented only with money for {LEAST_S // 60} minutes of all of them",
                mend="`skynb budget` shows what is used; raise the cap, or end what runs",
            )
        return free

    def set_budget(self, tx: Transaction, request: BudgetRequest, user: str) -> Sequence[str]:
        """Cap a month's spending, of one person or of everybody; what is promised already stays promised."""
        if request.cap_micro is not None and request.cap_micro < 0:
            raise SpecError("a budget cannot be negative", where="cap_micro")
        if request.user is not None and not request.user.strip():
            raise SpecError("no user is named", where="user")
        account = user_account(request.user) if request.user else EVERYBODY
        tx.set_budget(account, request.cap_micro, by=user)
        tx.append(Event("budget.set", {"account": account, "cap_micro": request.cap_micro, "by": user}))
        return ()

    def _insert_job(
        self,
        tx: Transaction,
        cluster: Record,
        task: Task,
        setup: bool,
        user: str,
        files: str,
        *,
        fresh: bool = False,
    ) -> int | None:
        """The job's number; None when the task neither sets up nor runs anything."""
        script = task.setup if setup else None
        if not task.run and not script:
            return None
        number = max(cluster.spec_as(ClusterSpec).first_job, tx.highest("job", parent=cluster.id) + 1)
        _, secrets = task.to_wire()
        spec = JobSpec(
            number=number,
            num_nodes=task.num_nodes,
            setup=script,
            run=task.run,
            envs={key: value for key, value in (task.envs or {}).items() if value is not None},
            secrets=self._core.secrets.put(secrets) if secrets else "",
            files=files,
            workdir=bool(task.workdir),
            gpus_per_node=gpus(task.resources),
            cpus_per_node=0.5,
            priority=task.resources.priority or 0,
            title=task.name or "",
            task_id=f"sky-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}_{cluster.name}_{number}",
            user=user,
            fresh_setup=fresh,
            hooks=hooks_of(task),
        )
        record = tx.insert(self._job_record(cluster, spec))
        tx.append(Event("job.asked", {"job": number}), record=record.id, scope=cluster.id)
        return number

    def _job_record(self, cluster: Record, spec: JobSpec) -> Record:
        return Record(
            id=job_id(cluster.id, spec.number),
            kind="job",
            name=str(spec.number),
            parent=cluster.id,
            owner=spec.user,
            status="INIT",
            target="DONE",
            spec=msgspec.json.encode(spec),
        )

    def _move(self, tx: Transaction, cluster: Record, target: str, event: str) -> Sequence[str]:
        if cluster.target == "TERMINATED" and target != "TERMINATED":
            raise ConflictError(f"cluster {cluster.name!r} is being taken down")
        tx.move(Move(cluster.id, target))
        tx.append(Event(event, {}), record=cluster.id, scope=cluster.id)
        return (cluster.id,)


def worst_case(hourly_micro: int, lease: LeaseInfo, lanes: int, free: int | None) -> int:
    """Micro-dollars that a launch can cost at most if nobody ever looks at it again.

    A busy node lives as long as its work envelope; machines that lost a race end within minutes, count for
    a quarter of an hour.
    """
    work = round(hourly_micro * lease.envelope_s / 3600) + (lanes - 1) * hourly_micro * LEAST_S // 3600
    return work if free is None else min(work, free)


def find_free(tx: Transaction, name: str) -> Record:
    """The live cluster of that name, if a person may move it; NotFoundError, ConflictError."""
    cluster = find_cluster(tx, name)
    check_free(cluster)
    return cluster


def check_free(cluster: Record) -> None:
    """ConflictError for a cluster that works for another record."""
    if cluster.spec_as(ClusterSpec).held_by:
        mend = "`skynb jobs queue` and `skynb jobs pool status` show for which, and what ends it"
        raise ConflictError(f"cluster {cluster.name!r} works for managed jobs", mend=mend)


def _family(cluster: Record, num_nodes: int, job: int | None) -> list[str]:
    nodes = [node_id(cluster.id, rank) for rank in range(num_nodes)]
    return [cluster.id, *nodes, *([job_id(cluster.id, job)] if job is not None else [])]
