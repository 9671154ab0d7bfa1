"""What a task wishes of its machines, and what is refused before anything is rented. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from skynb.control.records import Record
from skynb.errors import ConflictError, SpecError, UnsupportedError
from skynb.planning import Rejection, fitting
from skynb.spec import Resources, Task, unexecuted_fields
from skynb.wire import AutostopRequest, WaitFor
from skynb_catalog import Offer as CatalogOffer
from skynb_clusters.contract import Capabilities
from skynb_clusters.records import (
    USUAL_DISK_GIB,
    Autostop,
    ClusterSpec,
    MachineWish,
    Offer,
    offer_of,
)
from skynb_clusters.rehearsal import played_by, rehearsed
from skynb_clusters.views import accelerators_of, infra_of

CLUSTER_NAME = r"[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?"
_ANY_DISK = frozenset({None, "medium", "best", "none"})


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the machines, by alternative where those differ, and of all of them.

    outside: files go elsewhere than below the home. stops: idleness stops it.
    """

    machines: tuple[MachineWish, ...] = (MachineWish(),)
    outside: bool = False
    stops: bool = False

    @classmethod
    def of(cls, resources: Resources, autostop: Autostop | None, *, outside: bool = False) -> Wishes:
        """Of a task."""
        _, items = resources.alternatives()
        machines = tuple(map(_wish, items))
        if all(wish == machines[0] for wish in machines):
            machines = machines[:1]
        return cls(machines=machines, outside=outside, stops=_stops(autostop))

    @classmethod
    def kept(cls, spec: ClusterSpec) -> Wishes:
        """Of a cluster, as its spec keeps them."""
        return cls(machines=spec.wishes, outside=spec.outside, stops=_stops(spec.autostop))

    def in_spec(self) -> dict[str, Any]:
        """The fields of a ClusterSpec."""
        if len(self.machines) > 1:
            return {"differing": self.machines, "outside": self.outside}
        return {**msgspec.structs.asdict(self.machines[0]), "outside": self.outside}

    def of_offer(self, offer: Offer) -> Wishes:
        """What is asked of machines of this offer alone."""
        number = offer.alternative if len(self.machines) > 1 else 0
        return msgspec.structs.replace(self, machines=(self.machines[number],))

    def unmet(self, infra: str, can: Capabilities, *, spot: bool = False) -> UnsupportedError | None:
        """Why machines of this infra fulfil no alternative, by the first; None if they can."""
        refused = [_refused(wish, infra, can) for wish in self.machines]
        if None not in refused:
            return refused[0]
        if self.outside and not can.whole:
            mend = "Name a path below the home (`~/PATH`), or other infra"
            what = f"machines of {infra} are not the cluster's alone: files go below the home only"
            return UnsupportedError(what, where="file_mounts", mend=mend)
        if self.stops and (spot or not can.stop):
            kind = "spot machines" if spot else "machines"
            mend = "Let the autostop go down (`--down`), or name other infra"
            return UnsupportedError(f"{infra} cannot stop {kind}", where="autostop", mend=mend)
        return None


def narrowed(
    task: Task, clouds: Sequence[str], unable: Callable[[str, Wishes], UnsupportedError | None]
) -> tuple[Task, tuple[Rejection, ...]]:
    """The task without the alternatives that none of the clouds can fulfil, if some are left, and what went.

    unable: why a cloud does not fulfil wishes. An alternative of any cloud becomes one for each that can,
    where some cannot.
    """
    in_order, items = task.resources.alternatives()
    if len(Wishes.of(task.resources, None).machines) == 1:
        return task, ()
    kept: list[Resources] = []
    passed: list[Rejection] = []
    for number, item in enumerate(items):
        wishes = Wishes.of(item, None)
        asked = [item.cloud] if item.cloud else clouds
        errors = {cloud: unable(cloud, wishes) for cloud in asked}
        able = [cloud for cloud in asked if errors[cloud] is None]
        passed += [Rejection(number, cloud, error.what) for cloud, error in errors.items() if error]
        whole = bool(able) and (bool(item.cloud) or len(able) == len(clouds))
        kept += [item] if whole else [item.overridden({"cloud": cloud}) for cloud in able]
    if not kept or kept == list(items):
        return task, ()
    config, secrets = task.to_wire()
    chosen = {"ordered" if in_order else "any_of": [item.to_plain() for item in kept]}
    return Task.from_wire({**config, "resources": chosen}, secrets), tuple(passed)


def _wish(item: Resources) -> MachineWish:
    image = item.image_id
    by_region: Mapping[str | None, str] = image if isinstance(image, Mapping) else {}
    return MachineWish(
        labels={str(key): str(value) for key, value in (item.labels or {}).items()},
        ports=tuple(map(str, item.ports or ())),
        image=image if isinstance(image, str) else by_region.get(None),
        images={region: one for region, one in by_region.items() if region is not None},
        disk_gib=int(item.disk_size or USUAL_DISK_GIB),
        disk_tier=item.disk_tier,
    )


def _refused(wish: MachineWish, infra: str, can: Capabilities) -> UnsupportedError | None:
    if (wish.image or wish.images) and not can.images:
        return _unmet(f"{infra} has no images to start from", "resources.image_id")
    if wish.disk_tier not in _ANY_DISK and not can.disk_tiers:
        return _unmet(f"{infra} has no kinds of disk to choose from", "resources.disk_tier")
    return None


def _unmet(what: str, where: str) -> UnsupportedError:
    return UnsupportedError(what, where=where, mend="Leave it out, or name other infra")


def _stops(autostop: Autostop | None) -> bool:
    return autostop is not None and autostop.idle_minutes >= 0 and not autostop.down


def read_task(config: dict[str, Any], secrets: dict[str, str], *, of_pool: bool = False) -> Task:
    """The task as it was sent, if this version carries out all of it; SpecError, UnsupportedError."""
    task = Task.from_wire(config, secrets)
    task.validate()
    if task.pool is not None and not of_pool:
        mend = "`skynb jobs pool apply -p NAME FILE` makes it; jobs go there with `--pool NAME`"
        raise SpecError("this is a pool of workers", where="pool", mend=mend)
    if refused := unexecuted_fields(task):
        raise UnsupportedError(
            "no part of this version carries that out yet",
            where=", ".join(refused),
            mend="Leave it out; a later version will take it as it is",
        )
    return task


def goes_outside(task: Task) -> bool:
    """Whether files of this machine go elsewhere than below the home of the nodes."""
    return any(target.startswith("/") for target in task.get_local_to_remote_file_mounts())


def hooks_of(task: Task) -> tuple[dict[str, Any], ...]:
    """What runs beside the work when its machine is going to be taken."""
    return tuple({"run": hook.run, "timeout": hook.timeout} for hook in task.hooks)


def infras(task: Task) -> dict[str, str | None]:
    """The infra that a task names, with the region."""
    _, items = task.resources.alternatives()
    return {item.cloud: item.region for item in items if item.cloud}


def gpus(resources: Resources) -> float:
    """Accelerators a node, of the alternative that wants most."""
    _, items = resources.alternatives()
    return max((item.accelerators[0].count for item in items if item.accelerators), default=0.0)


def autostop_of(request: AutostopRequest | None) -> Autostop | None:
    """What a request says of autostop; None is never."""
    if request is None or request.idle_minutes is None or request.idle_minutes < 0:
        return None
    return Autostop(idle_minutes=request.idle_minutes, down=request.down, wait_for=request.wait_for)


def asked_autostop(resources: Resources) -> Autostop | None:
    """What the task itself says of autostop."""
    wish = resources.autostop
    if wish is None:
        return None
    wait_for = cast("WaitFor", wish.wait_for)  # the spec admits no other words
    return Autostop(idle_minutes=wish.idle_minutes, down=wish.down, wait_for=wait_for)


def check_name(name: str) -> None:
    """SpecError for what cannot be a cluster's name."""
    import re

    if not re.fullmatch(CLUSTER_NAME, name) or len(name) > 64:
        raise SpecError(
            f"{name!r} is no name for a cluster",
            where="cluster_name",
            mend="Begin with a letter, end with a letter or digit; -, _ and . may stand between",
        )


def check_fits(cluster: Record, task: Task) -> int:
    """Which of the task's alternatives the cluster serves; ConflictError if it needs more than that is."""
    spec = cluster.spec_as(ClusterSpec)
    if task.num_nodes > spec.num_nodes:
        raise ConflictError(
            f"cluster {cluster.name!r} has {spec.num_nodes} nodes, the task wants {task.num_nodes}",
            where="num_nodes",
            mend="Launch on a new cluster",
        )
    offer = offer_of(cluster)
    number = fitting(rehearsed(task) or task, _as_offered(played_by(offer)))
    if number is None:
        raise ConflictError(
            f"the machines of cluster {cluster.name!r} are not what the task asks for",
            why=f"They are {offer.instance_type} on {infra_of(offer)}: {offer.vcpus or 0:g} vCPUs, "
            f"{offer.memory_gib or 0:.0f} GiB, {accelerators_of(offer) or 'no accelerators'}",
            where="resources",
            mend="Launch on a new cluster",
        )
    return number


def _as_offered(offer: Offer) -> CatalogOffer:
    return CatalogOffer(
        cloud=offer.cloud,
        region=offer.region,
        zone=offer.zone,
        instance_type=offer.instance_type,
        vcpus=offer.vcpus,
        memory_gib=offer.memory_gib,
        accelerator=offer.accelerator,
        accelerator_count=offer.accelerator_count,
        accelerator_memory_gib=None,
        arch=None,
        hourly_micro=offer.hourly_micro,
        spot_hourly_micro=None,
        as_of=offer.as_of,
        spot_as_of=None,
        source=offer.source,
        confidence="high",
    )
