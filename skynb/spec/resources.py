"""What machines a task asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, cast

from skynb.spec import policies, values
from skynb.spec.accelerators import Accelerator, AcceleratorArgs, Accelerators
from skynb.spec.checks import (
    below,
    boolean,
    fail,
    filled,
    integer,
    list_of,
    map_of,
    number,
    open_mapping,
    show,
    text,
)
from skynb.spec.infra import Infra, cloud_name, place
from skynb.spec.plain import SpecValue, plain
from skynb.spec.policies import AttachedVolume, Autostop, DockerLogin, JobRecovery
from skynb.spec.records import Field, Record

_PLACE = ("cloud", "region", "zone")


def _items(value: Any, where: str) -> tuple[Resources, ...]:
    items = list_of(Resources.parse, least=1)(value, where)
    for index, item in enumerate(items):
        item.check_as_item(below(where, index))
    return items


class Resources(Record):
    """The machines of one node: frozen, with `any_of` or `ordered` alternatives laid over the base.

    Keywords are those of the YAML. Sizes are GB, prices dollars an hour, priority -1000..1000.
    """

    ROOT = "resources"
    HINTS: ClassVar[Mapping[str, str]] = {
        "hooks": "Hooks belong to the task, under `config.hooks`",
        "num_nodes": "`num_nodes` belongs to the task, beside `resources`",
    }

    infra_given = Field(Infra.parse, key="infra")
    cloud_given = Field(cloud_name, key="cloud")
    region_given = Field(place, key="region")
    zone_given = Field(place, key="zone")
    accelerators_given = Field(Accelerators.parse, key="accelerators", alias="gpus")
    accelerator_args = Field(AcceleratorArgs.parse)
    cpus = Field(values.cpus)
    memory = Field(values.memory)
    instance_type = Field(filled)
    use_spot = Field(boolean, default=False)
    job_recovery = Field(JobRecovery.parse)
    any_of = Field(_items, ())
    ordered = Field(_items, ())
    disk_size = Field(values.size_gb, 256)
    ephemeral_storage = Field(values.size_gb)
    disk_tier = Field(policies.disk_tier)
    network_tier = Field(policies.network_tier)
    local_disk = Field(policies.local_disk)
    max_hourly_cost = Field(number(above=0))
    ports = Field(values.ports, ())
    image_id = Field(policies.image_id)
    labels = Field(map_of(text, text), cast("Mapping[str, str]", {}))
    autostop_given = Field(policies.autostop, key="autostop")
    priority = Field(integer(-1000, 1000), 0)
    priority_class = Field(filled)
    volumes = Field(list_of(AttachedVolume.parse), ())
    _docker_login_config = Field(DockerLogin.parse)
    _is_image_managed = Field(boolean)
    _requires_fuse = Field(boolean)
    _cluster_config_overrides = Field(open_mapping)
    _no_missing_accel_warnings = Field(boolean)

    @property
    def infra(self) -> Infra:
        """The cloud, region and zone, however they were written."""
        return self.infra_given or Infra.of(self.cloud_given, self.region_given, self.zone_given)

    @property
    def cloud(self) -> str | None:
        return self.infra.cloud

    @property
    def region(self) -> str | None:
        return self.infra.region

    @property
    def zone(self) -> str | None:
        return self.infra.zone

    @property
    def accelerators(self) -> tuple[Accelerator, ...]:
        """The alternatives of this item; empty for none."""
        return self.accelerators_given.items if self.accelerators_given else ()

    @property
    def accelerators_ordered(self) -> bool:
        """Whether the first alternative is the preferred one."""
        return bool(self.accelerators_given and self.accelerators_given.ordered)

    @property
    def autostop(self) -> Autostop | None:
        """None when it is not asked for, or switched off."""
        given = self.autostop_given
        return given if isinstance(given, Autostop) else None

    @property
    def use_spot_specified(self) -> bool:
        return self.is_given("use_spot")

    @property
    def disk_size_specified(self) -> bool:
        return self.is_given("disk_size")

    def alternatives(self) -> tuple[bool, tuple[Resources, ...]]:
        """(in order of preference?, the choices), each with at most one accelerator and no alternatives.

        `any_of`, `ordered`, accelerators and the regions of images are unfolded and laid over the base; equal
        choices are one.
        """
        items = self.ordered or self.any_of
        base = {key: value for key, value in self.to_plain().items() if key not in {"any_of", "ordered"}}
        laid = [lay_over(base, item.to_plain()) for item in items] if items else [base]
        choices = [
            choice
            for config in laid
            for image in Resources.parse(config, self.ROOT).by_image()
            for choice in image.by_accelerator()
        ]
        ordered = bool(self.ordered) or (not self.any_of and self.accelerators_ordered)
        return ordered, tuple(dict.fromkeys(choices))

    def is_empty(self) -> bool:
        """Whether nothing at all is asked for."""
        return not self.to_plain()

    def overridden(self, overrides: Mapping[str, Any]) -> Resources:
        """These resources with the overrides laid over the base and over every alternative."""
        changes = plain(overrides, self.ROOT)
        config = self.to_plain()
        for key in ("any_of", "ordered"):
            if key in config and not {"any_of", "ordered"} & set(changes):
                replaced = [_without(item, changes) for item in config[key]]
                config[key] = replaced
        return Resources.parse(lay_over(config, changes), self.ROOT)

    def by_accelerator(self) -> list[Resources]:
        """One for each alternative accelerator."""
        if len(self.accelerators) < 2:
            return [self]
        return [self.copy(accelerators=str(accelerator)) for accelerator in self.accelerators]

    def by_image(self) -> list[Resources]:
        """One for each region that has an image, where no image is for any region and none is named."""
        if not isinstance(self.image_id, Mapping) or None in self.image_id or self.region:
            return [self]
        config = self.to_plain()
        places = [lay_over(config, {"region": region}) for region in self.image_id]
        return [Resources.parse(place, self.ROOT) for place in places]

    def _check(self, where: str) -> None:
        if self.is_given("infra"):
            both = [key for key in _PLACE if self.is_given(key)]
            if both:
                mend = f"Write all of it in `infra`: cloud/region/zone, and drop `{both[0]}`"
                fail(below(where, both[0]), f"`{both[0]}` does not go with `infra`", mend=mend)
        if self.any_of and self.ordered:
            fail(below(where, "ordered"), "`ordered` does not go with `any_of`", mend="Keep one of them")
        if self.ordered and len(self.accelerators) > 1:
            mend = "Name one accelerator in each item of `ordered`"
            fail(below(where, "accelerators"), "several accelerators do not go with `ordered`", mend=mend)
        if self.any_of and self.accelerators_ordered:
            mend = "Write them as a map, {A: 1, B: 1}, for any of them"
            fail(below(where, "accelerators"), "a list of accelerators does not go with `any_of`", mend=mend)
        self._check_memory(where)
        for key in ("any_of", "ordered"):
            self._check_laid_over(key, where)

    def _check_memory(self, where: str) -> None:
        if self.memory and not self.memory.value and self.cloud not in {"slurm", None}:
            fail(
                below(where, "memory"),
                "memory of 0 is for Slurm only",
                mend="Leave it out for the usual size",
            )

    def _check_laid_over(self, key: str, where: str) -> None:
        base = {name: value for name, value in self.to_plain().items() if name not in {"any_of", "ordered"}}
        for index, item in enumerate(self.given.get(key, ())):
            Resources.parse(lay_over(base, item.to_plain()), below(below(where, key), index))

    def check_as_item(self, where: str) -> None:
        for key in ("any_of", "ordered"):
            if self.is_given(key):
                fail(
                    below(where, key),
                    "an alternative has no alternatives",
                    mend="List all of them at one level",
                )
        if len(self.accelerators) > 1:
            mend = "Write one item for each accelerator"
            fail(below(where, "accelerators"), "an alternative has at most one accelerator", mend=mend)


def lay_over(base: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """The plain resources of `item` over those of `base`: replacement, labels merged, place by place."""
    laid = {**base, **{("accelerators" if key == "gpus" else key): value for key, value in item.items()}}
    if "gpus" in base:
        laid.setdefault("accelerators", laid["gpus"])
        del laid["gpus"]
    if isinstance(base.get("labels"), Mapping) and isinstance(item.get("labels"), Mapping):
        laid["labels"] = {**base["labels"], **item["labels"]}
    if "infra" in item:
        _drop(laid, _PLACE)
    elif any(key in item for key in _PLACE):
        _lay_place(laid, base, item)
    return {key: value for key, value in laid.items() if value is not None}


def _lay_place(laid: dict[str, Any], base: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    """A place that changes takes the narrower places of the base away with it."""
    if laid.pop("infra", None) is not None:
        infra = Infra.parse(base["infra"], "infra")
        base = {key: getattr(infra, key) for key in _PLACE}
        laid.update({key: item.get(key, base[key]) for key in _PLACE})
    for index, key in enumerate(_PLACE):
        if key in item and str(item[key]).lower() != str(base.get(key)).lower():
            _drop(laid, [narrower for narrower in _PLACE[index + 1 :] if narrower not in item])


def _drop(config: dict[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        config.pop(key, None)


def _without(item: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    replaced = set(changes) - {"labels"}
    if "gpus" in replaced:
        replaced.add("accelerators")
    if replaced & {"infra", "cloud"}:
        replaced |= {"infra", *_PLACE}
    kept = {key: value for key, value in item.items() if key not in replaced}
    if isinstance(changes.get("labels"), Mapping) and "labels" in kept:
        kept["labels"] = {
            name: value for name, value in kept["labels"].items() if name not in changes["labels"]
        }
    return kept


def parse_resources(value: Any, where: str) -> Resources:
    """One resources object; a list of them is `ordered`, a set `any_of`."""
    if isinstance(value, (list, tuple)):
        return (
            Resources.parse({"ordered": value}, where)
            if len(value) != 1
            else Resources.parse(value[0], where)
        )
    if isinstance(value, (str, int, float)):
        mend = "Write fields, such as `resources: {infra: aws, accelerators: A100:8}`"
        fail(where, f"a mapping is expected, not {show(value)}", mend=mend)
    return Resources.parse(value, where)


def unordered(value: Any) -> Any:
    """A set of Resources, which plain values cannot hold, as the `any_of` that it means."""
    if isinstance(value, (set, frozenset)) and all(isinstance(item, (SpecValue, Mapping)) for item in value):
        items = sorted(value, key=repr)
        return items[0] if len(items) == 1 else {"any_of": items}
    return value
