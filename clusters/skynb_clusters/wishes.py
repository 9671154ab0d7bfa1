"""What a task wishes of its machines, and what is refused before anything is rented. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from skynb.control.records import Record
from skynb.errors import ConflictError, SpecError, UnsupportedError
from skynb.planning import fits
from skynb.spec import Resources, Task, unexecuted_fields
from skynb.wire import AutostopRequest, WaitFor
from skynb_catalog import Offer as CatalogOffer
from skynb_clusters.contract import Capabilities
from skynb_clusters.records import Autostop, ClusterSpec, Offer, offer_of
from skynb_clusters.rehearsal import played_by, rehearsed
from skynb_clusters.views import accelerators_of, infra_of

CLUSTER_NAME = r"[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?"
USUAL_DISK_GIB = 256
_ANY_DISK = frozenset({None, "medium", "best", "none"})
_WISHED = ("labels", "ports", "image_id", "disk_size", "disk_tier")


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a machine beyond its kind and place, and whether idleness should stop it.

    image: for every region; images: by region, before that one. disk_gib: GiB. outside: files go elsewhere
    than below the home.
    """

    labels: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    image: str | None = None
    images: dict[str, str] = {}
    disk_gib: int = USUAL_DISK_GIB
    disk_tier: str | None = None
    outside: bool = False
    stops: bool = False

    @classmethod
    def of(cls, resources: Resources, autostop: Autostop | None, *, outside: bool = False) -> Wishes:
        """Of a task; UnsupportedError where its alternatives wish differently."""
        _, items = resources.alternatives()
        for key in _WISHED:
            if any(getattr(item, key) != getattr(items[0], key) for item in items):
                raise UnsupportedError(
                    "alternatives cannot differ in this yet",
                    where=f"resources.{key}",
                    mend="Write it once, beside `any_of` or `ordered`",
                )
        item = items[0] if items else resources
        image = item.image_id
        by_region: Mapping[str | None, str] = image if isinstance(image, Mapping) else {}
        return cls(
            labels={str(key): str(value) for key, value in (item.labels or {}).items()},
            ports=tuple(map(str, item.ports or ())),
            image=image if isinstance(image, str) else by_region.get(None),
            images={region: one for region, one in by_region.items() if region is not None},
            disk_gib=int(item.disk_size or USUAL_DISK_GIB),
            disk_tier=item.disk_tier,
            outside=outside,
            stops=_stops(autostop),
        )

    @classmethod
    def kept(cls, spec: ClusterSpec) -> Wishes:
        """Of a cluster, as its spec keeps them."""
        return cls(
            **{name: getattr(spec, name) for name in cls.__struct_fields__ if name != "stops"},
            stops=_stops(spec.autostop),
        )

    def in_spec(self) -> dict[str, Any]:
        """The fields of a ClusterSpec."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "stops"}

    def unmet(self, infra: str, can: Capabilities, *, spot: bool = False) -> UnsupportedError | None:
        """The first wish that machines of this infra cannot fulfil, None if they can."""
        if (self.image or self.images) and not can.images:
            return _unmet(f"{infra} has no images to start from", "resources.image_id")
        if self.disk_tier not in _ANY_DISK and not can.disk_tiers:
            return _unmet(f"{infra} has no kinds of disk to choose from", "resources.disk_tier")
        if self.outside and not can.whole:
            mend = "Name a path below the home (`~/PATH`), or other infra"
            what = f"machines of {infra} are not the cluster's alone: files go below the home only"
            return UnsupportedError(what, where="file_mounts", mend=mend)
        if self.stops and (spot or not can.stop):
            kind = "spot machines" if spot else "machines"
            mend = "Let the autostop go down (`--down`), or name other infra"
            return UnsupportedError(f"{infra} cannot stop {kind}", where="autostop", mend=mend)
        return None


def _unmet(what: str, where: str) -> UnsupportedError:
    return UnsupportedError(what, where=where, mend="Leave it out, or name other infra")


def _stops(autostop: Autostop | None) -> bool:
    return autostop is not None and autostop.idle_minutes >= 0 and not autostop.down


def read_task(config: dict[str, Any], secrets: dict[str, str]) -> Task:
    """The task as it was sent, if this version carries out all of it; SpecError, UnsupportedError."""
    task = Task.from_wire(config, secrets)
    task.validate()
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


def check_fits(cluster: Record, task: Task) -> None:
    """ConflictError if the task needs more than the cluster is."""
    spec = cluster.spec_as(ClusterSpec)
    if task.num_nodes > spec.num_nodes:
        raise ConflictError(
            f"cluster {cluster.name!r} has {spec.num_nodes} nodes, the task wants {task.num_nodes}",
            where="num_nodes",
            mend="Launch on a new cluster",
        )
    offer = offer_of(cluster)
    if not fits(rehearsed(task) or task, _as_offered(played_by(offer))):
        raise ConflictError(
            f"the machines of cluster {cluster.name!r} are not what the task asks for",
            why=f"They are {offer.instance_type} on {infra_of(offer)}: {offer.vcpus or 0:g} vCPUs, "
            f"{offer.memory_gib or 0:.0f} GiB, {accelerators_of(offer) or 'no accelerators'}",
            where="resources",
            mend="Launch on a new cluster",
        )


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
